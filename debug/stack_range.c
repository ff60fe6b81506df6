/* See stack_range.h. */
#include "stack_range.h"

#include "core/os.h"
#include "stack_arch.h"

#define GROW_PAGES_MAX 16384 /* one frame that is larger ends the walk; probing it page by page would be noticed */

bool bmm__range_is_readable(uintptr_t address)
{
    return bmm__os_can_read((const void *)(address & ~(uintptr_t)7), 8);
}

void bmm__range_begin(struct bmm__stack_range *range, uintptr_t sp)
{
    range->low = sp & ~(uintptr_t)(bmm__os_page_bytes() - 1);
    range->high = range->low + bmm__os_page_bytes();
}

bool bmm__range_reach(struct bmm__stack_range *range, uintptr_t from, uintptr_t to)
{
    uintptr_t page = bmm__os_page_bytes();
    if (from > to || to > (UINTPTR_MAX >> 8))
        return false;
    if (to > range->high && (to - range->high) / page > GROW_PAGES_MAX)
        return false;
    if (from < range->low && (range->low - from) / page > GROW_PAGES_MAX)
        return false;
    while (to > range->high) {
        if (!bmm__range_is_readable(range->high))
            return false;
        range->high += page;
    }
    while (from < range->low) {
        if (!bmm__range_is_readable(range->low - page))
            return false;
        range->low -= page;
    }
    return true;
}

uintptr_t bmm__range_page_end(uintptr_t address)
{
    uintptr_t page = bmm__os_page_bytes();
    return (address + page - 1) & ~(page - 1);
}
