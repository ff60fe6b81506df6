#include "core/huge.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/os.h"

#define UNITS_MAX 32768u
#define FILL_SHIFT 3 /* a block is made longer by an eighth at most: no more than the slots of a class are */

/* Units, direct-mapped by their numbers: one stands here if the system may have been asked for a huge page in its place. Each
 * may be a mapping more to the system, of which a process can have so many: so there are as many of them as the table has
 * entries, and where two would meet the second goes without. (What is wished for of a unit that a block ended in, U2, may be one
 * more, as long as nothing wishes for the whole of it.) */
static uintptr_t units[UNITS_MAX] BMM__TABLE;
static bool is_any; /* something is in the table */

static uintptr_t *entry_of(uintptr_t unit)
{
    return &units[unit % UNITS_MAX];
}

static bool is_used(uintptr_t unit)
{
    return bmm__load_relaxed(entry_of(unit)) == unit;
}

/* U1: before the system is asked. */
static bool may_use(uintptr_t unit)
{
    uintptr_t none = 0;
    return is_used(unit) || bmm__cas_acq_rel(entry_of(unit), &none, unit) || is_used(unit);
}

/* After the system was told. */
static void forget(uintptr_t unit)
{
    bmm__cas_acq_rel(entry_of(unit), &unit, (uintptr_t)0);
}

size_t bmm__huge_fill(uintptr_t start, size_t bytes)
{
    size_t missing = -(start + bytes) % BMM__HUGE_BYTES;
    return bmm__is_huge(bytes) && missing <= bytes >> FILL_SHIFT ? bytes + missing : bytes;
}

void bmm__huge_end(uintptr_t end)
{
    uintptr_t unit = end / BMM__HUGE_BYTES, behind = (unit + 1) * BMM__HUGE_BYTES;
    if (end % BMM__HUGE_BYTES == 0 || !bmm__load_relaxed(&is_any) || !is_used(unit))
        return;
    bmm__os_prefer_small((void *)end, behind - end); /* NOLINT */
    forget(unit);
}

void bmm__huge_use(const struct bmm__span *span)
{
    uintptr_t start = span->start, end = start + span->span_bytes;
    uintptr_t first = (start + BMM__HUGE_BYTES - 1) / BMM__HUGE_BYTES;
    if (span->kind != BMM__SPAN_LARGE) {
        bmm__store_relaxed(&is_any, true);
        if (start != first * BMM__HUGE_BYTES)
            bmm__os_prefer_small((void *)start, first * BMM__HUGE_BYTES - start); /* NOLINT */
        bmm__huge_end(end);
        start = first * BMM__HUGE_BYTES;
        for (uintptr_t unit = first; unit < end / BMM__HUGE_BYTES; unit++)
            if (!may_use(unit)) {
                end = unit * BMM__HUGE_BYTES;
                bmm__os_prefer_small((void *)end, span->start + span->span_bytes - end); /* NOLINT */
            }
    }
    if (start < end)
        bmm__os_prefer_huge((void *)start, end - start); /* NOLINT */
}

void bmm__huge_leave(uintptr_t start, size_t bytes)
{
    if (!bmm__load_relaxed(&is_any))
        return;
    for (uintptr_t unit = start / BMM__HUGE_BYTES; unit <= (start + bytes - 1) / BMM__HUGE_BYTES; unit++)
        if (is_used(unit)) {
            bmm__os_prefer_small((void *)(unit * BMM__HUGE_BYTES), BMM__HUGE_BYTES); /* NOLINT */
            forget(unit);
        }
}

void bmm__huge_forget(uintptr_t start, size_t bytes)
{
    if (!bmm__load_relaxed(&is_any))
        return;
    for (uintptr_t unit = start / BMM__HUGE_BYTES; unit <= (start + bytes - 1) / BMM__HUGE_BYTES; unit++)
        forget(unit);
}
