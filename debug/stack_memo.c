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
static uint32_t pool_used;  /* by bits: some thread has had it */

/* Memory that is read before it is written, at once: else the page of zeros would be behind it first, and to replace that
 * interrupts every processor that runs another thread of the program. What is written first comes as it is needed. */
static void populate(struct bmm__stack_memo *memo)
{
    bmm__os_populate(memo, offsetof(struct bmm__stack_memo, listed));
    bmm__os_populate(memo->frames, sizeof *memo->frames);
}

static struct bmm__stack_memo *take_pooled(void)
{
    uint32_t taken = bmm__load_relaxed(&pool_taken), index;
    do {
        if (taken == POOL_ALL)
            return NULL;
        index = (uint32_t)__builtin_ctz(~taken);
    } while (!bmm__cas_weak_acq_rel(&pool_taken, &taken, taken | 1u << index));
    struct bmm__stack_memo *memo = &pool[index];
    if ((bmm__or_acq_rel(&pool_used, 1u << index) & 1u << index) == 0)
        populate(memo);
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
    if (memo == NULL && (memo = bmm__os_map(memo_bytes(), bmm__os_page_bytes())) != NULL)
        populate(memo);
    if (memo != NULL)
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

/* The entry of `made` of a frame with the state that `mixed` is of and that outer frame, and what tells its frames from others
 * that meet in the entry, mostly: a look at the frame itself would be a look at another cache line. */
struct made {
    uint32_t *entry, tag;
};

#define MADE_TAG 0xffff0000u /* of an entry; below it the frame's index */

static struct made made_of(struct bmm__stack_memo *memo, uint32_t mixed, uint32_t outer)
{
    uint32_t both = (mixed ^ outer) * 0x9e3779b1u;
    return (struct made){ &memo->made[both >> (32 - BMM__MEMO_SLOT_BITS)], both << 16 };
}

/* like: the frame that `recent` has for this state. */
static uint32_t add_frame(struct bmm__stack_memo *memo, const struct bmm__walk_frame *seen, uintptr_t cfa,
                          uint32_t outer, uint64_t hash, uint32_t like, bool is_open)
{
    uint32_t index = memo->frame_count++;
    struct bmm__memo_frame *frame = &memo->frames[index];
    const struct bmm__memo_frame *before = &memo->frames[outer];
    frame->pc = seen->pc;
    frame->sp = seen->sp;
    frame->fp = seen->fp;
    frame->hash = hash;
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

/* Whether that frame of the memo is what was seen, on top of outer. */
static bool is_frame(const struct bmm__stack_memo *memo, uint32_t index, const struct bmm__walk_frame *seen,
                     uint32_t outer, bool is_open)
{
    const struct bmm__memo_frame *frame = &memo->frames[index];
    if (index == 0 || (outer == 0 && (is_open || frame->is_open)))
        return false;
    return (index == frame->run_first ? frame->run_outer : index - 1) == outer &&
           bmm__memo_is(frame, seen->pc, seen->sp, seen->fp);
}

/* ---- ids for what is added ---- */

/* Frames of one chain, from the outermost on, as they are kept: those that have no id get theirs at the end. */
struct naming {
    uint32_t parent; /* the id outside the first of them */
    uint32_t count;  /* of them, in the walk's to_intern and kept */
    /* Frames that may still have an id: not what is open, deep, or on top of what there was no room for. */
    uint32_t left;
};

static struct naming begin_naming(const struct bmm__stack_memo *memo, uint32_t outer, bool is_open)
{
    const struct bmm__memo_frame *frame = &memo->frames[outer]; /* frame 0 has id 0, and depth 0 */
    bool has_none = outer != 0 ? frame->id == 0 || frame->is_open : is_open;
    uint32_t depth = memo->walk.id_depth;
    return (struct naming){ frame->id, 0, has_none || frame->depth >= depth ? 0 : depth - frame->depth };
}

static inline void name(struct naming *naming, struct bmm__stack_memo *memo, uint32_t index, uintptr_t node_pc)
{
    const struct bmm__memo_frame *frame = &memo->frames[index];
    if (naming->left == 0)
        return;
    naming->left--;
    if (frame->id != 0 && naming->count == 0) {
        naming->parent = frame->id;
        return;
    }
    if (naming->count == 0)
        bmm__depot_expect(frame->hash);
    memo->walk.kept[naming->count] = (uint16_t)index;
    memo->walk.to_intern[naming->count++] = (struct bmm__depot_frame){ node_pc, frame->hash, 0, 0 };
}

static void end_naming(const struct naming *naming, struct bmm__stack_memo *memo)
{
    bmm__depot_intern(naming->parent, memo->walk.to_intern, naming->count);
    for (uint32_t i = 0; i < naming->count; i++)
        memo->frames[memo->walk.kept[i]].id = memo->walk.to_intern[i].id;
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
    uintptr_t cfa = outer != 0 ? memo->frames[outer].sp : walk->ends_in_zero || is_open ? walk->state.sp : 0;
    bool is_new = false;
    struct naming naming = begin_naming(memo, outer, is_open);
    for (uint32_t i = walk->count; i-- > walk->own_count;) {
        const struct bmm__walk_frame *seen = &walk->frames[i];
        uintptr_t node_pc = bmm__walk_node_pc(seen->pc, seen->word);
        hash = bmm__depot_hash(hash, node_pc);
        uint32_t mixed = bmm__memo_mix(seen->pc, seen->sp);
        uint16_t *recent = &memo->recent[mixed & (BMM__MEMO_SLOTS - 1)];
        struct made made = made_of(memo, mixed, outer);
        uint32_t index = 0;
        if (!is_new) { /* else nothing that is known stands on it */
            index = *made.entry & ~MADE_TAG;
            is_new = (*made.entry & MADE_TAG) != made.tag || !is_frame(memo, index, seen, outer, is_open);
        }
        if (is_new) {
            index = add_frame(memo, seen, cfa, outer, hash, *recent, is_open);
            *made.entry = made.tag | index;
        }
        outer = index;
        cfa = seen->sp;
        *recent = (uint16_t)outer; /* what is like it and newer, `made` still knows */
        name(&naming, memo, outer, node_pc);
    }
    end_naming(&naming, memo);
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
        struct bmm__memo_check *to = &memo->listed[count];
        for (const struct bmm__memo_check *from = &memo->checks[frame->check_end]; run > 0; run--, count++)
            *to++ = *--from;
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
