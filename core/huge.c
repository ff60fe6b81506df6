#include "core/huge.h"

#include "core/atomic.h"
#include "core/os.h"
#include "core/page_map.h"

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

bool bmm__huge_may_be(uintptr_t start)
{
    uintptr_t unit = start / BMM__HUGE_BYTES;
    return bmm__load_relaxed(&is_any) && bmm__load_relaxed(entry_of(unit)) == unit;
}

/* Where the unit ends that the span ends in, if nothing is behind it there; else where the span does. */
static uintptr_t end_with_rest(const struct bmm__span *span)
{
    uintptr_t end = span->start + span->span_bytes, at = end;
    for (; at % BMM__HUGE_BYTES != 0; at += BMM__GRANULE)
        if (!bmm__page_map_is_free(at))
            return end;
    return at;
}

void bmm__huge_use(const struct bmm__span *span)
{
    uintptr_t own_end = span->start + span->span_bytes, end = own_end;
    if (span->kind != BMM__SPAN_LARGE) {
        bmm__store_relaxed(&is_any, true);
        for (uintptr_t unit = span->start / BMM__HUGE_BYTES; unit <= (end - 1) / BMM__HUGE_BYTES; unit++)
            if (!may_use(unit))
                return;
        end = end_with_rest(span);
    }
    bmm__os_prefer_huge((void *)span->start, end - span->start); /* NOLINT */
    if (end != own_end && end_with_rest(span) != end)         /* something came there meanwhile, and its wish counts */
        bmm__os_prefer_small((void *)own_end, end - own_end); /* NOLINT */
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
