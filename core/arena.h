/* Arenas: where spans get their granules. The window first; arenas of their own outside it when it is full or could not
 * be had.
 *
 * Invariants: A1 an arena is never taken away, but outside the window one that is empty may lose its address space while nobody looks
 * at what was in it, some after each pass (purge.h) and all when room is wanted or all is to go back; its tables then wait for
 * another one of as many bytes. A2 what is free holds no more of the system's memory than what is in
 * use and 64 MiB more, but for what comes just then: when more comes back, as much is purged at once, from what is handed
 * out last on (of several arenas, about so), as far as that goes in the time of a slice (purge.h), and if that was not
 * enough, what came; the rest when it was left alone for a while.
 */
#ifndef BMM_ARENA_H
#define BMM_ARENA_H

#include "core/purge_work.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BMM__ARENA_RUN_MAX ((size_t)32 << 20) /* bytes that are asked of an arena; more gets a mapping of its own */
#define BMM__ARENA_ALIGN_MAX BMM__ARENA_RUN_MAX

extern size_t bmm__arena_used_bytes;

/* Threads that look at what was in an arena (visit.h); one more, at most, in a child. While there are any, none is unmapped. */
extern uint32_t bmm__arena_lookers;

/* Address space of all arenas that can be used. */
size_t bmm__arena_mapped_bytes(void);

/* Whether bytes that come back may keep their memory for a while (A2). */
bool bmm__arena_may_keep(size_t bytes);

/* bytes a multiple of the granule, at most BMM__ARENA_RUN_MAX; align a power of two, at most BMM__ARENA_ALIGN_MAX.
 * *is_zero: it reads as zero. NULL: out of memory. */
void *bmm__arena_alloc(size_t bytes, size_t align, bool *is_zero);
/* Takes the granules behind a run that the caller has. False: they are in use. */
bool bmm__arena_extend(void *start, size_t bytes, size_t more_bytes);
/* Gives granules back, all or the tail of what was allocated. is_dirty: there may be memory behind them. is_moved:
 * something was moved there with bmm__os_move. */
void bmm__arena_free(void *start, size_t bytes, bool is_dirty, bool is_moved);

/* Gives the address space of all arenas outside the window back of which nothing is in use, or (not is_all) of some of which
 * nothing is in memory either. Under the purge lock. */
void bmm__arena_unmap_empty(bool is_all);

/* The secure variant: what the arena outside the window has beside its granules (bmm__secure_bytes), of which start is one. */
void *bmm__arena_beside(uintptr_t start, size_t *granule);

/* A slice of a pass over all arenas, as bmm__run_map_age. Under the purge lock. */
bool bmm__arena_age(bool is_all, struct bmm__purge_work *work);

/* Gives back what is free, beginning with what is handed out last, as bmm__run_map_purge_last. Under the purge lock. */
bool bmm__arena_purge_last(struct bmm__purge_place *place, struct bmm__purge_work *work);

#endif
