/* The walk: from a frame state outwards, frame by frame, until the stack ends, the memo knows the rest, or nothing is
 * known. Only collects; ids are given afterwards, from the outside inwards.
 *
 * Two ways. The fast walk follows pc, sp and fp by cached rules. Where a frame takes other registers (lazy binding
 * keeps its stack pointer in rbx, say), the full walk begins anew and follows all registers with the unwind tables
 * themselves: a hundred times slower, needs nothing else, and is rare.
 * Of code without tables the rows are read from its instructions (stack_code.h).
 *
 * Invariants
 *  W1  Every address read lies in `range`, or the kernel said that it can be read.
 *  W2  From frame to frame sp grows, except over a signal frame; so a walk ends.
 *  W3  frames[0] is the innermost; frames[0 … own_count) are this library's own.
 *  W4  A frame whose address is in no module is stored only if it called this library: that return address is true, and is
 *      all that tells generated code's calls apart. Further out it may be a wild value.
 *      (libunwind, if it was asked for, passes generated code by its frame pointers; then it is.)
 */
#ifndef BMM_STACK_WALK_H
#define BMM_STACK_WALK_H

#include "stack.h"
#include "stack_arch.h"
#include "stack_range.h"
#include "stack_rules.h"

#define BMM__WALK_DEPTH_MAX 256u
#define BMM__WALK_OWN_MAX 16u
#define BMM__WALK_FRAMES (BMM__WALK_DEPTH_MAX + BMM__WALK_OWN_MAX)

/* Where the words of the stack lie that were read to find the caller follows from the rule and the caller's sp. */
struct bmm__walk_frame {
    uintptr_t pc, sp, fp;
    uint64_t word; /* of the rule cache; 0: a mark, not a frame */
};

enum bmm__walk_end {
    BMM__WALK_WHOLE,  /* the stack's outermost frame was reached */
    BMM__WALK_JOINED, /* the memo knows the rest */
    BMM__WALK_CUT,    /* it went on, but could not be followed, or is too deep */
    BMM__WALK_HARD    /* a frame was met that only the full walk can pass */
};

struct bmm__walk {
    struct bmm__frame_state state; /* where it stands: of the frame not yet stored */
    struct bmm__stack_range range;
    uint32_t count, own_count;
    uint32_t depth_max;  /* frames that may be stored, own ones not counted */
    uint32_t id_depth;   /* frames of an id: what is outside of so many need not be known */
    bool is_interrupted; /* state.pc was interrupted, not called from */
    bool has_signal;     /* a signal frame was passed */
    bool ends_in_zero;   /* the outermost frame's return address is 0; state is what would be its caller's */
    struct bmm__walk_frame frames[BMM__WALK_FRAMES];
    struct bmm__depot_frame to_intern[BMM__DEPOT_FRAMES_MAX]; /* the outermost first */
    uint16_t kept[BMM__DEPOT_FRAMES_MAX];                     /* the memo's frames of those */
};

struct bmm__stack_memo;

/* Fast walk from walk->state. The memo (may be NULL) is asked for each frame; if it JOINED, *joined is the memo's frame
 * from which on it knows the rest of this stack, as far as it matters for an id. */
enum bmm__walk_end bmm__walk_fast(struct bmm__walk *walk, const struct bmm__stack_memo *memo, uint32_t *joined);

/* Full walk; stores the frames from `start`, a frame of the calling thread outside the caller, on. Never JOINED. */
enum bmm__walk_end bmm__walk_full(struct bmm__walk *walk, const struct bmm__frame_state *start);

/* ---- for both ---- */

/* Where this library's own code is, as far as it can be told apart from the program. */
extern uintptr_t bmm__walk_own_start BMM__HIDDEN, bmm__walk_own_bytes BMM__HIDDEN;

/* Stores state. False: deep enough. */
static inline bool bmm__walk_store(struct bmm__walk *walk, uint64_t word)
{
    uint32_t count = walk->count;
    if (count - walk->own_count >= walk->depth_max || count == BMM__WALK_FRAMES)
        return false;
    struct bmm__walk_frame *frame = &walk->frames[count];
    frame->pc = walk->state.pc;
    frame->sp = walk->state.sp;
    frame->fp = walk->state.fp;
    frame->word = word;
    if (walk->own_count == count && walk->state.pc - bmm__walk_own_start < bmm__walk_own_bytes &&
        count < BMM__WALK_OWN_MAX)
        walk->own_count++;
    walk->count = count + 1;
    return true;
}

/* The pc of a frame's node in the depot. */
static inline uintptr_t bmm__walk_node_pc(uintptr_t pc, uint64_t word)
{
    return pc | (uintptr_t)bmm__rule_epoch(word) << 48;
}

/* Stores the mark of a signal in place of the trampoline's frame; state stands behind it then. */
bool bmm__walk_store_signal(struct bmm__walk *walk);

/* Before reading around a stack pointer that may be on another stack. False: nothing can be read there. */
bool bmm__walk_change_stack(struct bmm__walk *walk, uintptr_t sp);

#endif
