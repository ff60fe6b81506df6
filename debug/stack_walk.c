/* See stack_walk.h. This is the fast walk. */
#include "stack_walk.h"

#include "stack_memo.h"

#include "brainmm/snapshot.h"

#include "core/assert.h"

uintptr_t bmm__walk_own_start, bmm__walk_own_bytes;

bool bmm__walk_store_signal(struct bmm__walk *walk)
{
    struct bmm__frame_state state = walk->state;
    walk->state.pc = BMM_STACK_SIGNAL;
    bool is_stored = bmm__walk_store(walk, 0);
    walk->state = state;
    walk->has_signal = true;
    return is_stored;
}

bool bmm__walk_change_stack(struct bmm__walk *walk, uintptr_t sp)
{
    if (sp >= walk->range.low && sp < walk->range.high)
        return true;
    if (!bmm__range_is_readable(sp))
        return false;
    bmm__range_begin(&walk->range, sp);
    return true;
}

/* state becomes that of the interrupted code. */
static bool step_over_signal(struct bmm__walk *walk)
{
    uintptr_t registers[BMM__ARCH_REGISTERS + 1];
    uintptr_t sp = walk->state.sp;
    if (!bmm__walk_store_signal(walk) || sp % sizeof(uintptr_t) != 0 ||
        !bmm__range_reach(&walk->range, sp, sp + BMM__ARCH_CONTEXT_BYTES))
        return false;
    bmm__arch_read_context(sp, registers);
    walk->state.pc = registers[BMM__ARCH_PC];
    walk->state.sp = registers[BMM__ARCH_SP];
    walk->state.fp = registers[BMM__ARCH_FP];
    walk->is_interrupted = true;
    return bmm__walk_change_stack(walk, walk->state.sp);
}

/* From the frame just stored, whose CFA is known, to its caller. Just below sp is allowed for fp_slot: tables often
 * keep saying "saved" behind the pop of an epilogue. */
static bool step_to(struct bmm__walk *walk, uintptr_t cfa, bool is_fp_saved, uintptr_t fp_slot, intptr_t ra_offset)
{
    struct bmm__frame_state *state = &walk->state;
    uintptr_t ra_slot = cfa + (uintptr_t)ra_offset;
    if (cfa <= state->sp || cfa % sizeof(uintptr_t) != 0 || ra_slot < state->sp ||
        !bmm__range_reach(&walk->range, state->sp, cfa))
        return false;
    if (is_fp_saved) {
        if (fp_slot > cfa - sizeof(uintptr_t) || fp_slot % sizeof(uintptr_t) != 0 ||
            (fp_slot < state->sp && state->sp - fp_slot > BMM__ARCH_RED_ZONE) ||
            !bmm__range_reach(&walk->range, fp_slot, cfa)) /* it may be in the page below */
            return false;
        state->fp = *(const uintptr_t *)fp_slot;
    }
    state->pc = BMM__ARCH_RA_CODE(*(const uintptr_t *)ra_slot);
    state->sp = cfa;
    walk->is_interrupted = false;
    return true;
}

static bool step_by_rule(struct bmm__walk *walk, const struct bmm__rule *rule)
{
    uintptr_t cfa =
        (rule->kind == BMM__RULE_SP ? walk->state.sp : walk->state.fp) + (uintptr_t)(intptr_t)rule->cfa_offset;
    if (rule->is_cfa_stored) {
        if (cfa % sizeof(uintptr_t) != 0 || cfa < walk->state.sp ||
            !bmm__range_reach(&walk->range, cfa, cfa + sizeof(uintptr_t)))
            return false;
        cfa = *(const uintptr_t *)cfa;
    }
    uintptr_t fp_slot = (rule->is_fp_by_fp ? walk->state.fp : cfa) + (uintptr_t)(intptr_t)rule->fp_offset;
    return step_to(walk, cfa, rule->is_fp_saved, fp_slot, rule->ra_offset);
}

/* Everything that is not a plain frame in readable memory. True: it was passed; else *end. */
static __attribute__((noinline)) bool step_slowly(struct bmm__walk *walk, uint64_t word, enum bmm__walk_end *end)
{
    struct bmm__rule rule = bmm__rule_decode(word);
    *end = BMM__WALK_CUT;
    switch ((enum bmm__rule_kind)rule.kind) {
    case BMM__RULE_SP:
    case BMM__RULE_FP:
        if (!bmm__walk_store(walk, word) || !step_by_rule(walk, &rule))
            return false;
        walk->ends_in_zero = walk->state.pc == 0;
        if (walk->ends_in_zero)
            *end = BMM__WALK_WHOLE;
        return !walk->ends_in_zero;
    case BMM__RULE_SIGNAL:
        return step_over_signal(walk);
    case BMM__RULE_FULL:
        *end = BMM__WALK_HARD;
        return false;
    case BMM__RULE_END:
        if (bmm__walk_store(walk, word))
            *end = BMM__WALK_WHOLE;
        return false;
    default:
        if (rule.is_in_module || walk->count == walk->own_count) /* W4 */
            bmm__walk_store(walk, word);
        return false;
    }
}

/* The state is kept in locals, which the compiler keeps in registers: walk has it before and after step_slowly. */
enum bmm__walk_end bmm__walk_fast(struct bmm__walk *walk, const struct bmm__stack_memo *memo, uint32_t *joined)
{
    for (;;) {
        uintptr_t pc = walk->state.pc, sp = walk->state.sp, fp = walk->state.fp, high = walk->range.high;
        uintptr_t back = !walk->is_interrupted, quiet = 0;
        bool is_only_own = walk->count == walk->own_count;
        struct bmm__walk_frame *frame = &walk->frames[walk->count];
        const struct bmm__walk_frame *limit = &walk->frames[walk->own_count + walk->depth_max];
        uint64_t word = 0;
        bool is_joined = false;
        for (;;) {
            bool is_own =
                is_only_own && pc - bmm__walk_own_start < bmm__walk_own_bytes && walk->own_count < BMM__WALK_OWN_MAX;
            if (memo && sp > quiet && !is_own) {
                uint32_t index = bmm__memo_find(memo, pc, sp, fp);
                uint32_t count = (uint32_t)(frame - walk->frames) - walk->own_count;
                uint32_t room = count < walk->id_depth ? walk->id_depth - count : 0;
                if (index != 0) {
                    uint32_t differs = bmm__memo_differs(memo, index, room);
                    if (differs == 0) {
                        *joined = index;
                        is_joined = true;
                        break;
                    }
                    quiet = memo->frames[differs].sp; /* up to there the walk will find what the memo has */
                }
            }
            word = bmm__rule_find(pc - back);
            uintptr_t cfa = (BMM__RULE_KIND(word) == BMM__RULE_SP ? sp : fp) + BMM__RULE_CFA(word);
            uintptr_t distance = BMM__RULE_FP_DISTANCE(word);
            if (BMM__UNLIKELY(!BMM__RULE_IS_FRAME(word) || frame == limit || cfa - sp - 1 >= high - sp ||
                              cfa % sizeof(uintptr_t) != 0 || distance > cfa - sp))
                break;
            uintptr_t ra = BMM__ARCH_RA_CODE(*(const uintptr_t *)(cfa + (uintptr_t)BMM__ARCH_RA_OFFSET(distance)));
            if (BMM__UNLIKELY(ra == 0))
                break;
            frame->pc = pc;
            frame->sp = sp;
            frame->fp = fp;
            frame->word = word;
            frame++;
            walk->own_count += is_own;
            limit += is_own;
            is_only_own = is_own;
            if (distance != 0)
                fp = *(const uintptr_t *)(cfa - distance);
            pc = ra;
            sp = cfa;
            back = 1;
        }
        walk->state = (struct bmm__frame_state){ pc, sp, fp };
        walk->count = (uint32_t)(frame - walk->frames);
        walk->is_interrupted = back == 0;
        if (BMM__LIKELY(is_joined))
            return BMM__WALK_JOINED;
        enum bmm__walk_end end;
        if (!step_slowly(walk, word, &end))
            return end;
        if (walk->has_signal)
            memo = NULL; /* what it knows was seen from calls */
    }
}
