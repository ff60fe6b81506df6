/* Spans: contiguous granules cut into slots of one class, or one block; and their descriptors, out of line.
 *
 * Words. *Owner*: the heap that allocates from the span, as its token; 0: nobody. *Live*: slots not on the local free
 * list (slots that others freed and nobody collected yet count as live).
 *
 *   remote word:  [ epoch : 32 ][ index + 1 of the first freed slot : 16 ][ count : 14 ][ state : 2 ]
 *
 *   CURRENT ──all slots handed out──► FULL ──enough are free again──► OWNED ──no slot is live any more──► CLAIMED
 *      ▲                                                               │
 *      └────────────── its owner allocates from it again ──────────────┘
 *
 * Who claims gives the memory back and then marks the word as done; the owner, who still has the descriptor in a list,
 * leaves it when it comes by. The second of the two frees the descriptor.
 *
 * (Before a malloc would fail, the owner makes FULL ones OWNED of which any slot is free: rescue.h. Where memory is to go back, he makes his CURRENT span OWNED: bmm__heap_minimize, let_go.h. And of a CURRENT one that is OPEN others
 * may have all: P7.)
 *
 * A span keeps its owner for life, so that what a thread allocates comes back to it whoever frees it. *Enough* is
 * bmm__span_enough() slots, by the owner or by others (the two are not added up): with fewer, the owner would soon be
 * looking for the next span. Others who bring enough tell the owner, by putting the span on its heap's ready stack.
 *
 * Invariants
 *  P1  Only the owner changes free, countdown, bias, extended, waiting, waiting_count and the list links (next also: whoever
 *      moves remote from FULL to OWNED, until the ready stack has it); others change remote only.
 *  P2  countdown + bias of a FULL or OWNED span is its live count, or more while the owner changes them; countdown of a
 *      CURRENT one is the local frees until the owner looks at the clock, bias is 1 if he may let it go then
 *      (let_go.h); countdown of a FULL one is those until enough are free.
 *  P3  Whoever moves remote to CLAIMED gives the memory back, and until it is done nobody uses the descriptor anew. He is who
 *      freed the last slots, of all that others than the owner freed, or a bmm__remote_sweep, which finds three kinds
 *      more: a spare span (BMM__LISTED_SPARE), which calls for a sweep only if it is all that its bin has; a span
 *      whose last live slots its owner freed, after or while others freed the rest, which neither noticed; and an OPEN one (P7).
 *  P4  A descriptor's memory is never used for anything but descriptors, so a stale pointer to one can be read.
 *  P5  The epoch grows whenever the remote list is taken over, when the owner of an OPEN span comes back (P7) and when a descriptor is used anew, so that a claim
 *      decided on an old word cannot succeed on a later one that looks alike.
 *  P6  Batches wait in CURRENT spans only: all are on the list before the owner makes the state another one.
 *  P7  A CURRENT span is OPEN (listed) only if every slot that was ever on a free list is live, was freed by others, or was freed by
 *      the owner since; he changes that, extended and waiting, after he has begun a new epoch of remote. So if all are in remote or
 *      wait, he has none, and a sweep may claim it.
 */
#ifndef BMM_SPAN_H
#define BMM_SPAN_H

#include "core/assert.h"
#include "core/slot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bmm__heap;

struct bmm__page_area;

struct bmm__jit_region;

struct bmm__span {
    /* What does not change while the span is open, but for the owner's list, which changes while he allocates from the span and does
     * not show it, or frees into it. Others read it with every free: what he changes as he allocates is not in this line. */
    struct bmm__list list; /* owner: constant while the span is open; 0: nobody. slot_bytes 0: no slots */
    uintptr_t start;       /* of the first slot, in the first granule of the memory; of that where there are no slots */
    uint32_t slot_count;
    uint16_t class_index; /* of the heap's table (heap.h) */
    uint8_t kind;         /* enum bmm__span_is */
    uint8_t align_shift;  /* log2 of the alignment asked for */
    uint64_t inverse;     /* 2^64 / slot_bytes, rounded up: see bmm__span_index */
    size_t span_bytes;
    struct bmm__heap *heap; /* of the owner */

    /* The other line: everybody's word, and what the owner changes when he takes from it. */
    uint64_t remote __attribute__((aligned(64))); /* see above; release when pushed, acquire when taken */
    uint32_t epoch;                               /* of remote; the owner's copy (P5) */
    uint16_t extended;                            /* slots that were ever on a free list */
    uint16_t waiting;       /* of a CURRENT span: index + 1 of the first batch that was taken from remote; 0: none */
    uint16_t waiting_count; /* slots of the batches that wait */
    uint16_t bias;          /* of countdown (P2); release when it becomes 0, acquire by who claims */
    uint8_t listed;         /* enum bmm__listed; release when it becomes BMM__LISTED_SPARE, acquire by who claims */
    uint8_t is_shown;       /* the list in the heap stands for list, whose free and countdown mean nothing then */
    uint8_t is_moved;       /* something was moved there by bmm__os_move */
    uint8_t use;            /* enum bmm__use (client.h), and marks */
    struct bmm__span *next, *prev;
    void *side;                 /* the client's */
    struct bmm__span *all_next; /* every descriptor ever made, for the walk */
    union {
        struct bmm__page_area *area;    /* of a span of page runs */
        uintptr_t *entries;             /* of a span of slots: the window's, of its granules; NULL: it lies outside */
        struct bmm__jit_region *region; /* of a JIT span: constant, and so is its kind */
    };
};

#ifndef BMM_SECURE
_Static_assert(sizeof(struct bmm__span) == 128 &&
                   offsetof(struct bmm__span, heap) < offsetof(struct bmm__span, remote) &&
                   offsetof(struct bmm__span, extended) > offsetof(struct bmm__span, remote),
               "two lines: one that is read, one that is changed");
#endif

/* Of use. */
#define BMM__SPAN_USE 0x0f
#define BMM__SPAN_IS_NEXT \
    0x10 /* of slots: its heap was the only one, and had a full one of the class, when it was opened; constant from then on */
#define BMM__SPAN_IS_FRESH \
    0x20 /* of slots: its heap was the only one, nothing was behind it, and pages are small; likewise */
#define BMM__SPAN_IS_SEEN 0x40    /* heap_object.c, while it looks for duplicates */
#define BMM__SPAN_HAS_RIGHTS 0x80 /* pages may have other rights than to be read and written */

/* JIT: no block of the heap lies there, and of the descriptor nothing counts but kind and region: jit_region.h. */
enum bmm__span_is {
    BMM__SPAN_UNUSED = 0,
    BMM__SPAN_SLOTS,
    BMM__SPAN_RUNS,
    BMM__SPAN_BIG,
    BMM__SPAN_LARGE,
    BMM__SPAN_JIT
};

/* Whether a span is in its owner's available list. SPARE: and is kept though no slot of it is live. OPEN: it is not, for it is a
 * CURRENT one, but others may claim it (P7). */
enum bmm__listed { BMM__LISTED_NOT = 0, BMM__LISTED, BMM__LISTED_SPARE, BMM__LISTED_OPEN };

enum { BMM__REMOTE_OWNED = 0, BMM__REMOTE_FULL = 1, BMM__REMOTE_CLAIMED = 2, BMM__REMOTE_CURRENT = 3 };
#define BMM__REMOTE_DONE ((uint64_t)1 << 2) /* of CLAIMED: the claimer is through */
#define BMM__REMOTE_STATE(w) ((unsigned)((w)&3u))
#define BMM__REMOTE_COUNT(w) ((uint32_t)((w) >> 2 & 0x3fffu))
#define BMM__REMOTE_HEAD(w) ((uint32_t)((w) >> 16 & 0xffffu))
#define BMM__REMOTE_EPOCH(w) ((uint32_t)((w) >> 32))

/* Of a span of slots: the slot that lies offset bytes from the start, by one multiplication; and whether it begins just
 * there, by another. Exact for every 32-bit offset: Lemire, Kaser, Kurz, "Faster remainder by direct computation". */
static inline uint32_t bmm__span_index(const struct bmm__span *span, uintptr_t offset)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint32_t)(((wide)span->inverse * offset) >> 64);
}
static inline bool bmm__span_is_at_slot(const struct bmm__span *span, uintptr_t offset)
{
    return span->inverse * offset < span->inverse;
}

/* Both at once, of any offset: whether a slot begins just there, and which. */
static inline bool bmm__span_slot_at(const struct bmm__span *span, uintptr_t offset, uint32_t *index)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)span->inverse * offset;
    uint64_t whole = (uint64_t)(product >> 64); /* small only if offset is */
    *index = (uint32_t)whole;
    return (uint64_t)product < span->inverse && whole < span->slot_count;
}

/* How many slots of a full span must be free before it is allocated from again. At most half of them (P3: others who
 * free all that is live have always brought enough). */
static inline uint32_t bmm__span_enough(uint32_t slot_count)
{
    return slot_count < 16 ? 1 : slot_count / 8;
}

/* A descriptor, all zero but all_next. NULL: out of memory. */
struct bmm__span *bmm__span_make(void);
void bmm__span_free(struct bmm__span *span);
struct bmm__span *bmm__span_first(void); /* of all descriptors, through all_next; unused ones have that kind */

/* A span with memory from an arena, bytes a multiple of the granule, start of align, entered in the page map. *is_zero:
 * it reads as zero. NULL: out of memory, or more than arenas give (BMM__ARENA_RUN_MAX). For
 * one block nothing is purged first: who asks may find room elsewhere. */
struct bmm__span *bmm__span_open(size_t bytes, size_t align, enum bmm__span_is kind, bool *is_zero);
/* A mapping of its own at a multiple of align, reading as zero. */
struct bmm__span *bmm__span_open_large(size_t bytes, size_t align);
/* Tells the client, clears the page map, gives the memory back; the descriptor stays. is_dirty: the memory was used
 * since it last read as zero. */
void bmm__span_close(struct bmm__span *span, bool is_dirty);

#endif
