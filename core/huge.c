#include "core/huge.h"

#include "core/atomic.h"
#include "core/os.h"

#define UNITS_MAX 32768u

/* Units, direct-mapped by their numbers: one stands here if the system may have been asked for a huge page in its place. Each
 * such place may be a mapping more to the system, of which a process can have so many: so there are as many of them as the
 * table has entries, and where two would meet the second goes without. */
static uintptr_t units[UNITS_MAX];
static bool is_any; /* something is in the table */

static uintptr_t *entry_of(uintptr_t unit)
{
    return &units[unit % UNITS_MAX];
}

/* U1: before the system is asked. */
static bool may_use(uintptr_t unit)
{
    uintptr_t none = 0;
    return bmm__load_relaxed(entry_of(unit)) == unit || bmm__cas_acq_rel(entry_of(unit), &none, unit);
}

void bmm__huge_use(const struct bmm__span *span)
{
    uintptr_t unit = span->start / BMM__HUGE_BYTES, last = (span->start + span->span_bytes - 1) / BMM__HUGE_BYTES;
    if (span->kind != BMM__SPAN_LARGE) {
        bmm__store_relaxed(&is_any, true);
        for (; unit <= last; unit++)
            if (!may_use(unit))
                return;
    }
    bmm__os_prefer_huge((void *)span->start, span->span_bytes); /* NOLINT */
}

void bmm__huge_leave(uintptr_t start, size_t bytes)
{
    if (!bmm__load_relaxed(&is_any))
        return;
    bool is_done = false;
    for (uintptr_t unit = start / BMM__HUGE_BYTES; unit <= (start + bytes - 1) / BMM__HUGE_BYTES; unit++) {
        uintptr_t found = unit;
        if (bmm__load_relaxed(entry_of(unit)) != unit)
            continue;
        if (!is_done)
            bmm__os_prefer_small((void *)start, bytes); /* NOLINT */
        is_done = true;
        bmm__cas_acq_rel(entry_of(unit), &found, (uintptr_t)0);
    }
}
