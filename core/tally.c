#include "core/tally.h"

#include "core/atomic.h"

_Static_assert(BMM_STATS_CLASSES == BMM__CLASS_COUNT, "every class has a line of the statistics");
_Static_assert(BMM__TINY_CLASS_COUNT * 16 == BMM__TINY_BYTES_MAX, "the first classes are those of tiny sizes");

struct bmm__tally bmm__tallies[BMM__TALLY_COUNT];

static inline void add(struct bmm__tally *tally, size_t bytes)
{
    size_t taken = bmm__add_relaxed(&tally->taken_bytes, bytes) + bytes;
    size_t now = taken - bmm__load_relaxed(&tally->returned_bytes), peak = bmm__load_relaxed(&tally->peak_bytes);
    if (now > peak) /* not again if another thread has changed it meanwhile: then it is about right */
        bmm__cas_acq_rel(&tally->peak_bytes, &peak, now);
}

void bmm__tally_add(unsigned line, size_t bytes)
{
    add(&bmm__tallies[line], bytes);
}

void bmm__tally_sub(unsigned line, size_t bytes)
{
    bmm__add_relaxed(&bmm__tallies[line].returned_bytes, bytes);
}

void bmm__tally_add_class(unsigned class_index, size_t bytes)
{
    add(&bmm__tallies[class_index], bytes);
    add(&bmm__tallies[BMM__TALLY_KIND(bmm__tally_kind_of_class(class_index))], bytes);
}

void bmm__tally_sub_class(unsigned class_index, size_t bytes)
{
    bmm__tally_sub(class_index, bytes);
    bmm__tally_sub(BMM__TALLY_KIND(bmm__tally_kind_of_class(class_index)), bytes);
}
