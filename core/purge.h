/* When the memory behind what is free goes back to the system: when it was left alone for a while, in slices that no
 * caller feels, and never by a thread of our own.
 *
 *   a pass over all run maps begins PASS_MS after the last one began; it gives back what was free at both, so memory
 *   is kept for one to two such times; a slice of it is done by whoever comes by on a slow path, for about a
 *   twelfth of the time
 *
 * A thread comes by when it opens, empties or refills a span, every 4096th local free of a current span (64th while
 * something waits that is more than spare spans), and every 16th free of what others own; and one that gave memory back and then allocates or frees
 * seldom is kept on the slow path until everything is given back (heap_look.c). A thread that neither gave anything back nor
 * passes by so is not told that others did. Where the system takes nothing (locked pages), it is asked
 * again at every pass only.
 *
 * Invariants: U1 a slice gives back about SLICE_BYTES at most and spends about SLICE_NS, and so does a call that finds
 * too much (arena.h, A2); no free does both, but a realloc may. U2 no call spends 2 ms on it,
 * unless a single request to the system does.
 */
#ifndef BMM_PURGE_H
#define BMM_PURGE_H

#include "core/atomic.h"
#include "core/heap_pool.h"
#include "core/remote.h"
#include "core/run_map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BMM__PURGE_BYTES_MIN ((size_t)256 << 10)

/* There is enough that something should be done about it. */
static inline bool bmm__purge_is_pending(void)
{
    return bmm__load_relaxed(&bmm__dirty_bytes) > BMM__PURGE_BYTES_MIN ||
           bmm__load_relaxed(&bmm__heap_pool_warm) != 0 || bmm__load_relaxed(&bmm__remote_waiting) != 0;
}

/* And it is more than spare spans, so that threads are to pass by often. */
static inline bool bmm__purge_is_urgent(void)
{
    return bmm__load_relaxed(&bmm__dirty_bytes) > BMM__PURGE_BYTES_MIN ||
           bmm__load_relaxed(&bmm__heap_pool_warm) != 0 ||
           bmm__load_relaxed(&bmm__remote_waiting) > BMM__REMOTE_WAITS_SPARE;
}

/* Looks at the clock, and does a slice if it is time. */
void bmm__purge_tick(void);
/* The same for who knows that something is pending, and the time (bmm__os_clock_coarse_ms). */
void bmm__purge_tick_at(uint64_t now);

/* The caller holds bytes that cannot be kept as well: purges of what is kept as much as is too much then, so that it
 * follows what is in use down, and if too much is left, what the caller holds, from start on; both together as far as
 * that goes in the time of a slice (U1). Returns how many bytes from start on are clean. */
size_t bmm__purge_excess(void *start, size_t bytes);

/* Gives everything back at once, also what the program has locked. True if there was something. */
bool bmm__purge_all(void);
/* For who found no memory: all that is not locked. */
void bmm__purge_for_room(void);

#endif
