/* Regions of JIT heaps: where pieces of code lie, and what is known of them, which stands elsewhere.
 *
 * Words. *Piece*: what bmm_jit_get gives. *Unit*: 16 bytes. *View*: addresses at which a region is seen: one to write and to
 * execute at, or one for either, of the same memory. *Shared*: of a region in which pieces lie side by side, up to
 * BMM__JIT_SHARED_MAX bytes each; a larger one has a region of its own. *Table*: what is known of the units of a shared region.
 *
 *   units    │ a │ a │ a │   │ b │   │ c │ c │      a, b, c: pieces
 *   used       1   1   1   0   1   0   1   1        which are taken: run_map.h
 *   first      1   0   0   0   1   0   1   0
 *   last       0   0   1   0   1   0   0   1
 *   filled    15             2       7              bytes of the last unit that were asked for, less one; noted at the first
 *
 *   address ── page map ──► span of the view ──► region ──► table
 *
 * Who changes a heap's regions is one thread at a time. Finders may come at any time, take no lock and wait for nobody.
 *
 * Invariants
 *  J1  A descriptor, its two spans and its table are each other's for ever and used for nothing else, and all can be read for
 *      ever: a table that is not needed reads as zero. So a finder may come too late.
 *  J2  Of a live piece the first and the last unit are marked, and no unit between them: what a finder reads of it is changed
 *      by no birth or death of another. Its last unit is marked before its first one, and longer.
 *  J3  version is odd while something changes that a finder reads. One who reads that something has changed meanwhile looks
 *      again, a limited number of times; of a piece that lives all the while all looks say the same (J2).
 *  J4  At rest a unit is used just if it is between the first and the last of a piece, both included.
 *  J5  Memory of a region is a region's of one heap from the system until it goes back there: nothing else ever lies in it.
 *  J6  Regions begin and end under the pool's lock, which fork holds: a child knows all mappings it has.
 *  J7  Nothing is written into a region but by the program.
 */
#ifndef BMM_JIT_REGION_H
#define BMM_JIT_REGION_H

#include "core/run_map.h"
#include "core/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BMM__JIT_UNIT_SHIFT 4
#define BMM__JIT_SHARED_MAX ((size_t)32 << 10)      /* bytes of a piece */
#define BMM__JIT_REGION_BYTES_MAX ((size_t)1 << 20) /* of a shared region */

struct bmm_jit_heap;

enum bmm__jit_view_is { BMM__JIT_WRITABLE = 0, BMM__JIT_EXECUTABLE = 1 };

struct bmm__jit_region {
    /* What finders read; all but spans and table by atomics. */
    struct bmm__span *spans[2]; /* of the views; NULL until first needed, then constant */
    uint64_t *table;            /* likewise */
    uint32_t version;           /* J3; acquire, acq_rel */
    bool has_two_views;
    bool is_frozen; /* in a forked child that shares it with its parent: nothing new, and nothing is written */
    struct bmm_jit_heap *heap; /* NULL: the descriptor is unused */
    uintptr_t views[2];        /* where they start: the same twice if there is one */
    size_t own_bytes;          /* asked for, of the piece that has the region of its own; 0: shared */
    uint32_t unit_count;       /* of a shared one, as map.unit_count; 0: not shared */

    /* What its heap alone reads. */
    size_t bytes; /* of a view */
    struct bmm__run_map map;
    uint32_t piece_count;
    uint32_t room;                       /* no free run is longer, in units */
    struct bmm__jit_region *next, *prev; /* in the heap's list; next also among those that are unused */

    struct bmm__jit_region *all_next; /* every descriptor, newest first; under the pool's lock */
    int copy;                         /* while this thread forks: a file with the child's copy; -1: there is none */
};

/* A piece, as a look at it found it: facts of one moment, whatever others do to the region. */
struct bmm__jit_piece {
    struct bmm_jit_heap *heap;
    struct bmm__jit_region *region;
    enum bmm__jit_view_is view; /* that the address lies in */
    uintptr_t starts[2];        /* in the views; the same twice if there is one */
    size_t offset;              /* in the region */
    size_t bytes;               /* asked for */
    bool is_frozen;             /* of the region */
};

/* ---- of the one thread that changes the heap ---- */

/* A region for the heap: a shared one of bytes, a multiple of the granule up to BMM__JIT_REGION_BYTES_MAX, or one of its own
 * for a piece of own_bytes, if that is not 0. NULL with errno of the system: ENOMEM, or what it says to memory of the kind. */
struct bmm__jit_region *bmm__jit_region_open(struct bmm_jit_heap *heap, size_t bytes, size_t own_bytes,
                                             bool has_two_views);
/* Gives it back with all its pieces. */
void bmm__jit_region_close(struct bmm__jit_region *region);

/* A new piece in a shared region, at the lowest place. False: there is no room for it. */
bool bmm__jit_region_take(struct bmm__jit_region *region, size_t bytes, size_t *offset);
/* Ends a piece of a shared region. */
void bmm__jit_region_give(const struct bmm__jit_piece *piece);

/* ---- of anyone ---- */

/* Whether the system has memory that can be written and executed at one address. errno is kept. */
bool bmm__jit_region_may_have_one_view(void);

/* The live piece that address lies in, among the bytes that were asked for, for any 64-bit value, without touching the memory
 * there; also in signal handlers, and while threads stand still anywhere. False: none. Of a piece that is born or ends
 * meanwhile it may say either. */
bool bmm__jit_region_find(uintptr_t address, struct bmm__jit_piece *piece);

/* What a region holds, if span is that of its writable view: else nothing. While others change it, about. */
struct bmm__jit_count {
    size_t piece_count, live_bytes, bytes;
};
struct bmm__jit_count bmm__jit_region_count(const struct bmm__span *span);

/* ---- fork, with every lock held ---- */

void bmm__jit_region_fork_prepare(void);
void bmm__jit_region_fork_parent(void);
void bmm__jit_region_fork_child(void);

#endif
