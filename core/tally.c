#include "core/tally.h"

#include "core/atomic.h"

_Static_assert(BMM_STATS_CLASSES == BMM__CLASS_COUNT, "every class has a line of the statistics");

struct bmm__tally bmm__tallies[BMM__TALLY_COUNT];

static void add(struct bmm__tally *tally, size_t bytes)
{
    size_t now = bmm__add_relaxed(&tally->bytes, bytes) + bytes, peak = bmm__load_relaxed(&tally->peak_bytes);
    while (now > peak && !bmm__cas_weak_acq_rel(&tally->peak_bytes, &peak, now))
        ;
}

static void sub(struct bmm__tally *tally, size_t bytes)
{
    bmm__sub_relaxed(&tally->bytes, bytes);
    bmm__add_relaxed(&tally->returned_bytes, (uint64_t)bytes);
}

void bmm__tally_add(unsigned line, size_t bytes)
{
    add(&bmm__tallies[line], bytes);
    if (line < BMM__CLASS_COUNT)
        add(&bmm__tallies[BMM__TALLY_KIND(bmm__tally_kind_of_class(line))], bytes);
}

void bmm__tally_sub(unsigned line, size_t bytes)
{
    sub(&bmm__tallies[line], bytes);
    if (line < BMM__CLASS_COUNT)
        sub(&bmm__tallies[BMM__TALLY_KIND(bmm__tally_kind_of_class(line))], bytes);
}
