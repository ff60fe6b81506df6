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
    size_t most_bytes; /* that it may ask for, about */
    uint64_t end_ns;   /* of bmm__os_clock_mono_ns: nothing is asked later; BMM__PURGE_NO_END: as long as it takes */
    size_t asked_bytes, given_bytes; /* that the system was asked to take, and took */
};

/* The slice has to end. What it is at, and whoever begins one, does a call to the system all the same. */
static inline bool bmm__purge_work_is_over(const struct bmm__purge_work *work)
{
    return work->asked_bytes >= work->most_bytes ||
           (work->end_ns != BMM__PURGE_NO_END && bmm__os_clock_mono_ns() >= work->end_ns);
}

#endif
