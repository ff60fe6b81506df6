/* How much a slice of a purge may ask the system to take back, until when, and what it has done.
 *
 * Does not know: where the memory lies, and who wants it purged.
 */
#ifndef BMM_PURGE_WORK_H
#define BMM_PURGE_WORK_H

#include "core/os.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BMM__PURGE_NO_END UINT64_MAX

struct bmm__purge_work {
    size_t most_bytes;               /* that it may ask for, about */
    uint64_t end_ns, last_ns;        /* when it has to end, and when that was looked at last: bmm__os_clock_mono_ns */
    size_t asked_bytes, given_bytes; /* that the system was asked to take, and took */
};

/* Where a walk over several run maps, from the last one's end down, stands; zero: it has not begun. */
struct bmm__purge_place {
    uint32_t map, part;
    bool is_begun;
};

/* A slice that begins now and may take ns nanoseconds; BMM__PURGE_NO_END: as long as it takes. */
static inline struct bmm__purge_work bmm__purge_work_begin(size_t most_bytes, uint64_t ns)
{
    uint64_t now = ns == BMM__PURGE_NO_END ? 0 : bmm__os_clock_mono_ns();
    return (struct bmm__purge_work){ most_bytes, ns == BMM__PURGE_NO_END ? ns : now + ns, now, 0, 0 };
}

/* Asked after each step: the slice has to end, or would be too long after another step like the last; it is over for
 * good then. Whoever begins a slice does a step all the same. */
static inline bool bmm__purge_work_is_over(struct bmm__purge_work *work)
{
    if (work->end_ns == BMM__PURGE_NO_END)
        return work->asked_bytes >= work->most_bytes;
    uint64_t now = bmm__os_clock_mono_ns(), step_ns = now - work->last_ns;
    work->last_ns = now;
    if (now + step_ns >= work->end_ns)
        work->end_ns = now;
    return now >= work->end_ns || work->asked_bytes >= work->most_bytes;
}

#endif
