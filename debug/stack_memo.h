/* The memo: what a thread has seen on its stacks, so that the outer part of one, which is mostly known, need not be
 * walked and looked up again.
 *
 * A caller's state is a pure function of a frame's state and of the stack words that its rule reads. So if a frame is
 * met whose state is remembered, and every word that was read on the way out from it holds again what it held, then
 * by induction every frame outside it is the same, and so is the id of the stack.
 *
 * Frames are remembered as *chains*, each frame with the one outside it. Frames that were added one after the other lie
 * side by side, as a *run*, and so do the words to check; chains that share their outer part share its runs:
 *
 *      frames   1 (outermost)   2               3                    4  (frame 2's function at another call:
 *             ┌──────────────┬──────────────┬────────────────────┬──────────────┐     a run of its own, whose
 *             │ state, id    │ state, id    │ state, id          │ state, id    │     outer is frame 1)
 *             └──────────────┴──────┬───────┴────────────────────┴──────────────┘
 *      checks   (address, value)  … │ …  (address, value) …            of frame i: all before check_end, down to
 *                                   └ check_end                        the one's before it, innermost last
 *
 * The innermost frame of a stack has besides a *list* of all checks of its chain, in the order in which they are tried: most
 * captures look at that and nothing else.
 *
 * A frame says nothing of what is on the stack now, only: if the checks from here outwards hold, this is the stack. So it
 * never becomes wrong, and never changes; a frame with the same state and another caller is another one. `recent` leads
 * from a state to the frame last seen with it, and that one to those before it; `by_caller` from a state and the first word to
 * check, most likely the return address, to the innermost frame last seen with both; `made` from a state and an outer frame to
 * the frame, if there is one. All forget by collision, and when the arrays are full everything is forgotten.
 *
 * fp is part of a state only where a rule outside takes it before it is restored (fp_mask): code that keeps a loop
 * counter in rbp meets its memo all the same.
 *
 * Invariants
 *  V1  A frame's checks are tried from the innermost outwards and the first difference ends it, so that no word is read
 *      that a walk would not have read.
 *  V2  id is that of the stack from the frame outwards, cut to the depth of an id: then it depends on those frames alone,
 *      and so only they are checked. 0: not asked for yet.
 *  V3  A chain ends where its stack did, or (is_open) where the walk gave up, deeper than any id: then it can only answer
 *      for stacks that are cut before its end. Nothing is kept over a signal frame. This library's own frames at the
 *      inner end are never kept: they are not part of the stack.
 *  V4  Frames are the same code only at the same load count: a change of the loader's map empties the memo.
 *  V5  A memo that is busy belongs to the capture that a signal handler interrupted, and is left alone.
 */
#ifndef BMM_STACK_MEMO_H
#define BMM_STACK_MEMO_H

#include "stack.h"
#include "stack_walk.h"

#include "core/assert.h"

#define BMM__MEMO_FRAMES 8192u
#define BMM__MEMO_CHECKS 16384u
#define BMM__MEMO_LISTED 16384u /* checks in lists */
#define BMM__MEMO_GROUP 4u      /* lists have a multiple of so many: the last is there more than once */
#define BMM__MEMO_SLOT_BITS 12
#define BMM__MEMO_SLOTS (1u << BMM__MEMO_SLOT_BITS)

struct bmm__memo_frame {
    uintptr_t pc, sp, fp;
    uintptr_t fp_mask; /* of fp, what is part of the state: everything or nothing */
    uint64_t hash;     /* of the stack from here outwards, for the depot */
    uint32_t id;
    uint16_t depth;             /* frames from here to the chain's end */
    uint16_t check_end;         /* index */
    uint16_t run_check;         /* index of the run's outermost check */
    uint16_t run_first;         /* the run's outermost frame */
    uint16_t run_outer;         /* the frame outside the run; 0: none, the chain ends */
    uint16_t like;              /* one seen before with the same pc and sp; 0: none, or forgotten */
    uint16_t list, list_groups; /* where its list begins, and how long it is */
    bool is_open;
    bool is_answer; /* the list is there, and id known and of the whole chain */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct bmm__memo_frame) == 64, "a cache line");

struct bmm__memo_check {
    const uintptr_t *address;
    uintptr_t value;
};

struct bmm__stack_memo {
    uint32_t is_busy; /* this thread and its signal handlers only */
    uint32_t load_count;
    uint32_t frame_count, check_count, listed_count; /* frame 0 is none */
    uint16_t recent[BMM__MEMO_SLOTS];
    uint16_t by_caller[BMM__MEMO_SLOTS];
    uint32_t made[BMM__MEMO_SLOTS]; /* stack_memo.c */
    struct bmm__memo_check listed[BMM__MEMO_LISTED];
    struct bmm__memo_check checks[BMM__MEMO_CHECKS];
    struct bmm__memo_frame frames[BMM__MEMO_FRAMES];
    struct bmm__walk walk;
};

/* Between a thread and its own signal handlers only the compiler can change an order. */
static inline void bmm__compiler_fence(void)
{
    __asm__ volatile("" ::: "memory");
}

void bmm__memo_forget(struct bmm__stack_memo *memo);

/* Adds the frames of memo->walk but the own ones at its inner end: outside them is the frame `outer`, or nothing (0).
 * is_open: then the walk did not come to the stack's end; its state is that of the next frame. Returns the innermost
 * frame; 0: there is no room, all is forgotten. */
uint32_t bmm__memo_keep(struct bmm__stack_memo *memo, uint32_t outer, bool is_open);

static inline uint32_t bmm__memo_mix(uintptr_t pc, uintptr_t sp)
{
    return (uint32_t)((pc ^ sp << 20) * 0x9e3779b97f4a7c15u >> 32);
}

static inline uint32_t bmm__memo_slot(uintptr_t pc, uintptr_t sp)
{
    return bmm__memo_mix(pc, sp) & (BMM__MEMO_SLOTS - 1);
}

static inline bool bmm__memo_is(const struct bmm__memo_frame *frame, uintptr_t pc, uintptr_t sp, uintptr_t fp)
{
    return frame->pc == pc && frame->sp == sp && ((frame->fp ^ fp) & frame->fp_mask) == 0;
}

/* The frame last seen with a state; 0: none. */
static inline uint32_t bmm__memo_find(const struct bmm__stack_memo *memo, uintptr_t pc, uintptr_t sp, uintptr_t fp)
{
    uint32_t index = memo->recent[bmm__memo_slot(pc, sp)];
    return bmm__memo_is(&memo->frames[index], pc, sp, fp) ? index : 0;
}

static inline bool bmm__memo_holds(const struct bmm__memo_check *check)
{
    return *check->address == check->value;
}

/* Whether the chain of an answer is on the stack now, if the frame's state is. */
static inline __attribute__((always_inline)) bool bmm__memo_holds_list(const struct bmm__stack_memo *memo,
                                                                       const struct bmm__memo_frame *frame)
{
    const struct bmm__memo_check *check = memo->listed + frame->list;
    for (uint32_t groups = frame->list_groups; groups > 0; groups--, check += BMM__MEMO_GROUP)
        if (!bmm__memo_holds(&check[0]) || !bmm__memo_holds(&check[1]) || !bmm__memo_holds(&check[2]) ||
            !bmm__memo_holds(&check[3]))
            return false;
    return true;
}

static inline uint16_t *bmm__memo_by_caller(struct bmm__stack_memo *memo, uintptr_t pc, uintptr_t sp, uintptr_t word)
{
    return &memo->by_caller[bmm__memo_slot(pc ^ word << 7, sp)];
}

/* Makes the frame, whose id is known and of its whole chain, an answer. False: there is no room, all is forgotten. */
bool bmm__memo_make_answer(struct bmm__stack_memo *memo, uint32_t index);

/* Whether the chain of a frame, of which only so many frames matter, is on the stack now, if the frame's state is. 0: it is; else
 * the frame whose caller is another, or, where it ends before that, open, its last one. */
uint32_t bmm__memo_differs(const struct bmm__stack_memo *memo, uint32_t index, uint32_t count);

#endif
