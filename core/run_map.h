/* A run map: units of one size side by side, handed out in runs of neighbours, without a lock.
 *
 *   units   │ a │ a │ a │   │   │ b │   │ c │ c │      a, b, c: runs;  a unit is a granule or an OS page
 *   used      1   1   1   0   0   1   0   1   1        the bits that decide
 *   dirty     0   0   0   1   0   0   1   0   0        free, but memory of the system is still behind it
 *   aged      0   0   0   1   0   0   0   0   0        … and was so already at the last pass of bmm__run_map_age
 *
 * Whoever sets the used bits of a run from 0 to 1 has the run; a run over several words is taken word by word and put
 * back when another thread was faster at one of them.
 *
 * Invariants
 *  R1  A set used bit belongs to exactly one holder: the one who set it.
 *  R2  dirty of a unit is written by its holder, or by a pass that holds it. aged is written by whoever takes dirty off,
 *      and by passes; it may be stale, which costs a purge too early and nothing else.
 *  R3  A unit that is neither used nor dirty reads as zero (or was never committed).
 *  R4  Bits at and above unit_count are clear in dirty and aged; unit_count only grows, but that who holds all units may set it to
 *      0, and later to as many again, there or elsewhere.
 * Does not know: what the memory is for, who maps it, and when it is time to purge.
 */
#ifndef BMM_RUN_MAP_H
#define BMM_RUN_MAP_H

#include "core/purge_work.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bmm__run_map {
    uintptr_t start; /* of unit 0; relaxed: who holds a unit sees the right one */
    uint32_t unit_shift;
    uint32_t unit_count;           /* release when it grows: the new units are committed and their bits are clear */
    uint32_t hint;                 /* words below had no clear bit when last looked at; any value is right */
    uint32_t age_part;             /* part where the running pass goes on; under the purge lock */
    uint64_t *used, *dirty, *aged; /* acq_rel: a new holder sees what the last one did to the units */
    void (*purged)(uintptr_t start, size_t bytes); /* is told what was given back, while it is held; NULL: nobody */
};

#define BMM__RUN_NONE UINT32_MAX

/* Units are purged by parts, which are what lies in the same 2 MiB of addresses: a huge page is not to be torn. A unit
 * has 4 KiB at least. */
#define BMM__RUN_PART_SHIFT 21
#define BMM__RUN_UNIT_SHIFT_MIN 12

/* Bytes of free units that still have memory, of all run maps. */
extern size_t bmm__dirty_bytes;

/* The lowest free run of count units (≥ 1) whose index is a multiple of align (a power of two), now held by the caller;
 * *dirty_count is how many of its units were dirty. BMM__RUN_NONE: there is no such run. */
uint32_t bmm__run_map_take(struct bmm__run_map *map, uint32_t count, uint32_t align, uint32_t *dirty_count);

/* The same for the run at index. False: some unit is in use or does not exist, or count is 0; nothing changed. */
bool bmm__run_map_take_at(struct bmm__run_map *map, uint32_t index, uint32_t count, uint32_t *dirty_count);

/* Lets a held run go. is_dirty: there may be memory behind it. */
void bmm__run_map_give(struct bmm__run_map *map, uint32_t index, uint32_t count, bool is_dirty);

/* Holds every unit, if all are free. */
bool bmm__run_map_take_all(struct bmm__run_map *map, uint32_t *dirty_count);

/* Length of the free run that ends before (begins at) index, at most max; a guess by the time the caller reads it. */
uint32_t bmm__run_map_free_before(const struct bmm__run_map *map, uint32_t index, uint32_t max);
uint32_t bmm__run_map_free_at(const struct bmm__run_map *map, uint32_t index, uint32_t max);

/* One slice of a pass that gives the memory behind free units back: behind those that were dirty at the pass before,
 * or behind all dirty ones. True: the pass is complete; false: the work is over. One caller at a time. */
bool bmm__run_map_age(struct bmm__run_map *map, bool is_all, struct bmm__purge_work *work);

/* Gives the memory behind free units back from below part *part downwards, which are those that are handed out last.
 * True: nothing is left below; false: the work is over, with *part where to go on. */
bool bmm__run_map_purge_last(struct bmm__run_map *map, uint32_t *part, struct bmm__purge_work *work);

#endif
