/* Arenas: reservations of up to 64 MiB, given out in runs of granules by compare-and-swap on a bitmap; no lock.
 *
 * Invariants: A1 a set bit is a granule given out. A2 an arena is never taken away. A3 at most DIRTY_BYTES_MAX of free
 * granules still hold memory of the system; what comes back beyond that is purged at once.
 */
#ifndef BMM_ARENA_H
#define BMM_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#define BMM__ARENA_RUN_MAX ((size_t)1 << 20) /* bytes: 16 granules */

/* bytes is a multiple of the granule, at most BMM__ARENA_RUN_MAX. Contents are undefined. NULL: out of memory. */
void *bmm__arena_alloc(size_t bytes);
void bmm__arena_free(void *start, size_t bytes);
/* Gives every free granule's memory back to the system. True if there was any. */
bool bmm__arena_trim(void);

#endif
