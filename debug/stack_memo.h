/* The memo: what a thread saw on its stack last time, so that the outer part of it, which is mostly the same, need
 * not be walked and looked up again.
 *
 * A caller's state is a pure function of a frame's state and of the stack words that its rule reads. So if a frame is
 * met whose state is remembered, and every word that was read on the way out from it still holds what it held, then
 * by induction every frame outside it is the same, and so is the id of the stack.
 *
 *      frames   1 (outermost)      2                     3                      count (innermost)
 *             ┌──────────────┬──────────────┬─────────────────────────────────┬──────────────┐
 *             │ state, id    │ state, id    │ state, id                       │ state, id    │
 *             └──────────────┴──────┬───────┴───────────────┬─────────────────┴──────┬───────┘
 *      checks   (address, value)  … │ …  (address, value) … │ …                      │      of frame i: all before
 *                                   └ check_end             └ check_end              └      check_end, innermost last
 *
 * fp is part of a state only where a rule outside takes it before it is restored (needs_fp): code that keeps a loop
 * counter in rbp meets its memo all the same.
 *
 * A view is one stack: the thread's, and one more for coroutines or an alternate signal stack.
 *
 * Invariants
 *  V1  Every check's address lies in the view's range; they are tried from the innermost outwards and the first
 *      difference ends it, so that no word is read that a walk would not have read.
 *  V2  frames[i].id is the id of the stack from frame i outwards; own frames on top have the id of what is outside.
 *  V3  Only whole stacks are kept: never a truncated one, never over a signal frame.
 *  V4  Frames are the same code only at the same load count: a change of the loader's map empties all views.
 *  V5  A memo that is busy belongs to the capture that a signal handler interrupted, and is left alone.
 */
#ifndef BMM_STACK_MEMO_H
#define BMM_STACK_MEMO_H

#include "stack.h"
#include "stack_range.h"
#include "stack_walk.h"

#include "core/assert.h"

#define BMM__MEMO_VIEWS 2
#define BMM__MEMO_FRAMES (BMM__WALK_FRAMES + 2)
#define BMM__MEMO_CHECKS (3 * BMM__WALK_FRAMES)
#define BMM__MEMO_NODES 512 /* a power of two */

struct bmm__memo_frame {
    uintptr_t pc, sp, fp; /* pc 0: the end of a stack whose outermost return address is 0 */
    uint64_t word;        /* of the rule cache */
    uint32_t id;
    uint16_t check_end;
    uint8_t needs_fp;
    uint8_t own;    /* enum bmm__memo_own */
    uint32_t depth; /* frames that count, from here outwards */
};
/* Left out: nothing but own frames was inside it. */
enum bmm__memo_own { BMM__MEMO_FOREIGN = 0, BMM__MEMO_OWN_COUNTED = 1, BMM__MEMO_OWN_LEFT_OUT = 2 };

struct bmm__memo_check {
    const uintptr_t *address;
    uintptr_t value;
};

struct bmm__memo_view {
    struct bmm__stack_range range;
    uint32_t count;
    struct bmm__memo_frame frames[BMM__MEMO_FRAMES]; /* [0] is a guard: sp all ones, everything else 0 */
    struct bmm__memo_check checks[BMM__MEMO_CHECKS];
};

/* An id found before, so that the depot's chains need not be followed again: a node never changes. */
struct bmm__memo_node {
    uintptr_t pc; /* 0: empty */
    uint32_t parent, id;
};

struct bmm__stack_memo {
    uint32_t is_busy; /* this thread and its signal handlers only */
    uint32_t load_count;
    uint32_t last_view;
    struct bmm__walk walk;
    struct bmm__memo_view views[BMM__MEMO_VIEWS];
    struct bmm__memo_node nodes[BMM__MEMO_NODES];
};

/* Between a thread and its own signal handlers only the compiler can change an order. */
static inline void bmm__compiler_fence(void)
{
    __asm__ volatile("" ::: "memory");
}

/* The view of the stack that sp is on. */
struct bmm__memo_view *bmm__memo_view_of(struct bmm__stack_memo *memo, uintptr_t sp);

/* Takes over memo->walk, which is whole: joined to frames[1 … joined] of the view or (0) complete in itself. Returns the stack's id;
 * 0: the depot is full. */
uint32_t bmm__memo_keep(struct bmm__stack_memo *memo, struct bmm__memo_view *view, uint32_t joined);

static inline bool bmm__memo_holds(const struct bmm__memo_check *check)
{
    return *check->address == check->value;
}

/* Whether *met, whose sp is the walk's, is the state that the walk is in, and the rest of the stack is as it was. If
 * not, *met becomes the innermost frame that the walk may still meet. is_only_own: only own frames were walked. */
static inline bool bmm__memo_meets(const struct bmm__memo_view *view, const struct bmm__memo_frame **met, uintptr_t pc,
                                   uintptr_t fp, bool is_only_own)
{
    const struct bmm__memo_frame *frame = *met;
    if (frame->pc != pc || (frame->needs_fp && frame->fp != fp))
        return false;
    /* An own frame is left out of the stack or not, depending on what is inside it. */
    if (BMM__UNLIKELY(frame->own != 0 && (frame->own == BMM__MEMO_OWN_LEFT_OUT) != is_only_own))
        return false;
    const struct bmm__memo_check *first = view->checks, *check = first + frame->check_end;
    while (check - first >= 4 && bmm__memo_holds(&check[-1]) && bmm__memo_holds(&check[-2]) &&
           bmm__memo_holds(&check[-3]) && bmm__memo_holds(&check[-4]))
        check -= 4;
    while (check != first) {
        check--;
        if (BMM__UNLIKELY(!bmm__memo_holds(check))) {
            /* Up to here the walk will find what is remembered: no need to ask again before. */
            while (frame->check_end > (size_t)(check - first))
                frame--;
            *met = frame;
            return false;
        }
    }
    return true;
}

#endif
