/* Spans: contiguous granules cut into slots of one class, or one block; and their descriptors, out of line.
 *
 * Words. *Owner*: the heap that allocates from the span, as its token; 0: nobody. *Live*: slots not on the local free
 * list (slots that others freed and nobody collected yet count as live).
 *
 *   remote word:  [ epoch : 32 ][ index + 1 of the first freed slot : 16 ][ count : 14 ][ state : 2 ]
 *
 *   OWNED ──all slots handed out──► FULL (nobody's) ──first free──► OWNED by whoever freed
 *     └──others freed every live slot──► CLAIMED: memory has gone back, the descriptor waits for its owner
 *
 * Invariants
 *  P1  Only the owner touches free, countdown, extended and the list links; others touch remote only.
 *  P2  countdown of a span in an available list is its live count; of a current span it is too big to be reached.
 *  P3  Whoever moves remote from FULL to OWNED owns the span; whoever moves it to CLAIMED, or finds all slots of a
 *      FULL span freed, gives its memory back.
 *  P5  The epoch grows whenever the remote list is taken over and when a descriptor is used anew, so that a claim
 *      decided on an old word cannot succeed on a later one that looks alike.
 *  P4  A descriptor's memory is never used for anything but descriptors, so a stale pointer to one can be read.
 */
#ifndef BMM_SPAN_H
#define BMM_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bmm__heap;

struct bmm__slot_link {
    struct bmm__slot_link *next; /* the first word of a free slot */
};

struct bmm__span {
    uintptr_t owner;             /* token; written by the owner, read by all: relaxed, decides only "mine or not" */
    struct bmm__slot_link *free; /* local list */
    uint32_t countdown;          /* local frees until something must happen */
    uint32_t slot_bytes;         /* 0: one block of span_bytes */
    uint64_t remote;             /* see above; release when pushed, acquire when taken */
    uintptr_t start;
    size_t span_bytes;
    uint32_t slot_count;
    uint32_t extended; /* slots that were ever on a free list */
    uint8_t class_index;
    uint8_t kind;           /* enum bmm__span_is */
    uint8_t align_shift;    /* log2 of the alignment asked for, where it was more than 16 */
    uint8_t is_listed;      /* in the owner's available list */
    uint32_t epoch;         /* of remote; the owner's copy (P5) */
    struct bmm__heap *heap; /* of the owner */
    struct bmm__span *next, *prev;
    void *side;                 /* the client's */
    struct bmm__span *all_next; /* every descriptor ever made, for the walk */
};

enum bmm__span_is { BMM__SPAN_UNUSED = 0, BMM__SPAN_SLOTS, BMM__SPAN_BIG, BMM__SPAN_LARGE };

enum { BMM__REMOTE_OWNED = 0, BMM__REMOTE_FULL = 1, BMM__REMOTE_CLAIMED = 2 };
#define BMM__REMOTE_STATE(w) ((unsigned)((w)&3u))
#define BMM__REMOTE_COUNT(w) ((uint32_t)((w) >> 2 & 0x3fffu))
#define BMM__REMOTE_HEAD(w) ((uint32_t)((w) >> 16 & 0xffffu))
#define BMM__REMOTE_EPOCH(w) ((uint32_t)((w) >> 32))
#define BMM__COUNTDOWN_NEVER 0x40000000u

/* A descriptor, all zero but all_next. NULL: out of memory. */
struct bmm__span *bmm__span_make(void);
void bmm__span_free(struct bmm__span *span);
struct bmm__span *bmm__span_first(void); /* of all descriptors, through all_next; unused ones have that kind */

/* A span of kind slots or big with its memory from an arena, entered in the page map. NULL: out of memory. */
struct bmm__span *bmm__span_open(size_t bytes, enum bmm__span_is kind, uint32_t slot_bytes, unsigned class_index);
/* A mapping of its own at a multiple of align. */
struct bmm__span *bmm__span_open_large(size_t bytes, size_t align);
/* Tells the client, clears the page map, gives the memory back; the descriptor stays. */
void bmm__span_close(struct bmm__span *span);

#endif
