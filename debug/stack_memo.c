/* See stack_memo.h. */
#include "stack_memo.h"

#include "core/atomic.h"
#include "core/os.h"

#include <string.h>

#define POOL_COUNT 16u
#define POOL_ALL ((1u << POOL_COUNT) - 1)
#define CHECKS_PER_FRAME 3u /* at most */

_Static_assert(sizeof(struct bmm__stack_memo) <= 18 * BMM__GRANULE, "of which a thread touches what it needs");
_Static_assert(BMM__MEMO_FRAMES <= UINT16_MAX && BMM__MEMO_CHECKS <= UINT16_MAX, "indices of 16 bits");
_Static_assert(BMM__MEMO_LISTED <= UINT16_MAX, "the same");

static size_t memo_bytes(void)
{
    return (sizeof(struct bmm__stack_memo) + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
}

/* Threads come and go: some memos stay, with their memory, for the next ones. */
static struct bmm__stack_memo pool[POOL_COUNT];
static uint32_t pool_taken; /* by bits */

static struct bmm__stack_memo *take_pooled(void)
{
    uint32_t taken = bmm__load_relaxed(&pool_taken), index;
    do {
        if (taken == POOL_ALL)
            return NULL;
        index = (uint32_t)__builtin_ctz(~taken);
    } while (!bmm__cas_weak_acq_rel(&pool_taken, &taken, taken | 1u << index));
    struct bmm__stack_memo *memo = &pool[index];
    memo->is_busy = 0;
    bmm__memo_forget(memo); /* it is another thread's no more */
    return memo;
}

/* Its bit in the pool; 0: it is none of it. */
static uint32_t pool_bit(const struct bmm__stack_memo *memo)
{
    uintptr_t distance = (uintptr_t)memo - (uintptr_t)pool;
    return distance < sizeof pool ? 1u << distance / sizeof *pool : 0;
}

struct bmm__stack_memo *bmm__stack_memo_make(void)
{
    struct bmm__stack_memo *memo = take_pooled();
    memo = memo != NULL ? memo : bmm__os_map(memo_bytes(), bmm__os_page_bytes());
    if (memo)
        memo->frame_count = 1;
    return memo;
}

void bmm__stack_memo_free(struct bmm__stack_memo *memo)
{
    uint32_t bit = pool_bit(memo);
    if (bit != 0)
        bmm__and_acq_rel(&pool_taken, ~bit);
    else if (memo)
        bmm__os_release(memo, memo_bytes());
}

void bmm__stack_memo_lose(struct bmm__stack_memo *memo)
{
    uint32_t bit = pool_bit(memo);
    if (bit == 0)
        return;
    /* Its pages were copied one after the other: whatever it says, all is to be forgotten. */
    memo->frame_count = UINT32_MAX;
    bmm__and_acq_rel(&pool_taken, ~bit);
}

void bmm__memo_forget(struct bmm__stack_memo *memo)
{
    if (memo->frame_count <= 1)
        return;
    memset(memo->recent, 0, sizeof memo->recent);
    memset(memo->by_caller, 0, sizeof memo->by_caller);
    memset(memo->made, 0, sizeof memo->made);
    memo->frame_count = 1;
    memo->check_count = memo->listed_count = 0;
}

uint32_t bmm__memo_differs(const struct bmm__stack_memo *memo, uint32_t index, uint32_t count)
{
    for (;;) {
        const struct bmm__memo_frame *frame = &memo->frames[index];
        uint32_t in_run = index - frame->run_first + 1;
        uint32_t first = count < in_run ? memo->frames[index - count].check_end : frame->run_check;
        uint32_t end = frame->check_end;
        for (; end > first; end--)
            if (BMM__UNLIKELY(!bmm__memo_holds(&memo->checks[end - 1]))) {
                while (index > frame->run_first && memo->frames[index - 1].check_end >= end)
                    index--;
                return index;
            }
        if (count <= in_run || (frame->run_outer == 0 && !frame->is_open))
            return 0;
        if (frame->run_outer == 0)
            return frame->run_first;
        count -= in_run;
        index = frame->run_outer;
    }
}

/* ---- adding ---- */

static inline void add_check(struct bmm__stack_memo *memo, uintptr_t address)
{
    const uintptr_t *word = (const uintptr_t *)address;
    memo->checks[memo->check_count++] = (struct bmm__memo_check){ word, *word };
}

/* What a step read from a frame to its caller, whose sp is cfa, and whose fp is needed outside or not, in the order in
 * which it should be tried: last first. Returns whether the frame's own fp is needed. */
static bool add_checks(struct bmm__stack_memo *memo, const struct bmm__walk_frame *seen, uintptr_t cfa,
                       bool outer_needs_fp)
{
    if (BMM__LIKELY(BMM__RULE_KIND(seen->word) != BMM__RULE_WIDE)) { /* the fast walk's own step */
        uintptr_t distance = BMM__RULE_FP_DISTANCE(seen->word);
        if (outer_needs_fp && distance != 0)
            add_check(memo, cfa - distance);
        add_check(memo, cfa + (uintptr_t)BMM__ARCH_RA_OFFSET(distance));
        return BMM__RULE_KIND(seen->word) == BMM__RULE_FP || (outer_needs_fp && distance == 0);
    }
    struct bmm__rule rule = bmm__rule_decode(seen->word); /* step_by_rule of stack_walk.c */
    if (outer_needs_fp && rule.is_fp_saved)
        add_check(memo, (rule.is_fp_by_fp ? seen->fp : cfa) + (uintptr_t)(intptr_t)rule.fp_offset);
    add_check(memo, cfa + (uintptr_t)(intptr_t)rule.ra_offset);
    if (rule.is_cfa_stored) /* tried first: the other addresses hang on it */
        add_check(memo, (rule.kind == BMM__RULE_SP ? seen->sp : seen->fp) + (uintptr_t)(intptr_t)rule.cfa_offset);
    return rule.kind == BMM__RULE_FP || rule.is_fp_by_fp || (outer_needs_fp && !rule.is_fp_saved);
}

static uint16_t *made_slot(struct bmm__stack_memo *memo, uintptr_t pc, uintptr_t sp, uint32_t outer)
{
    return &memo->made[bmm__memo_slot(pc + outer * 0x51u, sp)];
}

static uint32_t add_frame(struct bmm__stack_memo *memo, const struct bmm__walk_frame *seen, uintptr_t cfa,
                          uint32_t outer, bool is_open)
{
    uint32_t index = memo->frame_count++;
    struct bmm__memo_frame *frame = &memo->frames[index];
    const struct bmm__memo_frame *before = &memo->frames[outer];
    frame->pc = seen->pc;
    frame->sp = seen->sp;
    frame->fp = seen->fp;
    frame->hash = seen->hash;
    uint32_t like = memo->recent[bmm__memo_slot(seen->pc, seen->sp)];
    frame->like = memo->frames[like].pc == seen->pc && memo->frames[like].sp == seen->sp ? (uint16_t)like : 0;
    if (outer != 0 && outer == index - 1) {
        frame->run_check = before->run_check;
        frame->run_first = before->run_first;
        frame->run_outer = before->run_outer;
    } else {
        frame->run_check = (uint16_t)memo->check_count;
        frame->run_first = (uint16_t)index;
        frame->run_outer = (uint16_t)outer;
    }
    frame->depth = outer == 0 ? 1 : before->depth + 1;
    frame->is_open = outer == 0 ? is_open : before->is_open;
    frame->fp_mask = cfa != 0 && add_checks(memo, seen, cfa, outer != 0 && before->fp_mask != 0) ? UINTPTR_MAX : 0;
    frame->check_end = (uint16_t)memo->check_count;
    frame->id = 0;
    frame->is_answer = false;
    return index;
}

/* The frames of the walk have been kept on top of the frame `outer`: those that have no id get theirs. */
static void give_ids(struct bmm__stack_memo *memo, uint32_t outer)
{
    struct bmm__walk *walk = &memo->walk;
    uint32_t parent = memo->frames[outer].id, count = 0, first = walk->count, end = first; /* frame 0 has id 0 */
    if (outer != 0 && parent == 0)
        return; /* it is open, deep, or there was no room */
    for (; end > walk->own_count; end--) {
        const struct bmm__walk_frame *seen = &walk->frames[end - 1];
        const struct bmm__memo_frame *frame = &memo->frames[seen->kept];
        if (frame->is_open || frame->depth > walk->id_depth)
            break;
        if (frame->id != 0 && count == 0) {
            parent = frame->id;
            first = end - 1;
            continue;
        }
        walk->to_intern[count++] =
            (struct bmm__depot_frame){ bmm__walk_node_pc(seen->pc, seen->word), seen->hash, 0, 0 };
    }
    bmm__depot_intern(parent, walk->to_intern, count);
    for (uint32_t i = 0; i < count; i++)
        memo->frames[walk->frames[first - 1 - i].kept].id = walk->to_intern[i].id;
}

uint32_t bmm__memo_keep(struct bmm__stack_memo *memo, uint32_t outer, bool is_open)
{
    struct bmm__walk *walk = &memo->walk;
    uint32_t count = walk->count - walk->own_count;
    if (BMM__UNLIKELY(memo->frame_count + count > BMM__MEMO_FRAMES ||
                      memo->check_count + CHECKS_PER_FRAME * count > BMM__MEMO_CHECKS)) {
        bmm__memo_forget(memo);
        return 0;
    }
    uint64_t hash = outer != 0 ? memo->frames[outer].hash : 0;
    /* Where the outermost frame's caller begins, or would: 0 if its rule says that there is none, and reads nothing. */
    uint32_t outermost = outer;
    uintptr_t cfa = outer != 0 ? memo->frames[outer].sp : walk->ends_in_zero || is_open ? walk->state.sp : 0;
    for (uint32_t i = walk->count; i-- > walk->own_count;) {
        struct bmm__walk_frame *seen = &walk->frames[i];
        seen->hash = hash = bmm__depot_hash(hash, bmm__walk_node_pc(seen->pc, seen->word));
        uint16_t *made = made_slot(memo, seen->pc, seen->sp, outer);
        const struct bmm__memo_frame *frame = &memo->frames[*made];
        uint32_t frames_outer = *made == frame->run_first ? frame->run_outer : *made - 1u;
        if (*made == 0 || (outer == 0 && (is_open || frame->is_open)) || frames_outer != outer ||
            !bmm__memo_is(frame, seen->pc, seen->sp, seen->fp))
            *made = (uint16_t)add_frame(memo, seen, cfa, outer, is_open);
        outer = seen->kept = *made;
        cfa = seen->sp;
        memo->recent[bmm__memo_slot(seen->pc, seen->sp)] =
            (uint16_t)outer; /* what is like it and newer, `made` still knows */
    }
    give_ids(memo, outermost);
    return outer;
}

bool bmm__memo_make_answer(struct bmm__stack_memo *memo, uint32_t index)
{
    struct bmm__memo_frame *answer = &memo->frames[index];
    uint32_t count = memo->listed_count, begin = count;
    for (const struct bmm__memo_frame *frame = answer;; frame = &memo->frames[frame->run_outer]) {
        uint32_t run = frame->check_end - frame->run_check;
        if (BMM__UNLIKELY(count + run + BMM__MEMO_GROUP > BMM__MEMO_LISTED)) {
            bmm__memo_forget(memo);
            return false;
        }
        for (uint32_t i = 1; i <= run; i++)
            memo->listed[count++] = memo->checks[frame->check_end - i];
        if (frame->run_outer == 0)
            break;
    }
    if (count != begin)
        *bmm__memo_by_caller(memo, answer->pc, answer->sp, memo->listed[begin].value) = (uint16_t)index;
    for (; (count - begin) % BMM__MEMO_GROUP != 0; count++)
        memo->listed[count] = memo->listed[count - 1];
    answer->list = (uint16_t)begin;
    answer->list_groups = (uint16_t)((count - begin) / BMM__MEMO_GROUP);
    answer->is_answer = true;
    memo->listed_count = count;
    return true;
}
