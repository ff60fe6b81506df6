#include "core/huge.h"

#include "core/atomic.h"
#include "core/os.h"

#define PLACES_MAX 8192u

/* Where blocks began, direct-mapped by the number of their first huge page. Inside an arena each such place may be a
 * mapping more to the system, of which a process can have so many, and remains one when the block is freed: so there are
 * as many of them as the table has entries, and where two would meet the second goes without. */
static uintptr_t places[PLACES_MAX];

static uintptr_t *place_of(uintptr_t start)
{
    return &places[start / BMM__HUGE_BYTES % PLACES_MAX];
}

static bool may_use(uintptr_t start)
{
    uintptr_t *place = place_of(start), none = 0;
    return bmm__load_relaxed(place) == start || bmm__cas_acq_rel(place, &none, start);
}

void bmm__huge_end(const struct bmm__span *span, uintptr_t from)
{
    if (bmm__load_relaxed(place_of(span->start)) == span->start)
        bmm__os_prefer_small((void *)from, span->start + span->span_bytes - from); /* NOLINT */
}

void bmm__huge_use(const struct bmm__span *span)
{
    if (span->kind == BMM__SPAN_LARGE || may_use(span->start))
        bmm__os_prefer_huge((void *)span->start, span->span_bytes); /* NOLINT */
}
