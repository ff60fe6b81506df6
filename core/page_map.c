#include "core/page_map.h"

#include "core/assert.h"
#include "core/meta.h"

#define ASK_BYTES ((size_t)1 << 30)    /* from which on a range is asked whether it is too much */
#define MANY_BYTES ((size_t)128 << 10) /* of entries, a GiB's: a system call is quicker than as many stores or faults */
#define ENTRIES_SHARE 16u              /* of the machine's memory, that entries may take */

static uint64_t entered_bytes; /* of address space, outside of the window; relaxed */

uintptr_t bmm__page_map_root[BMM__ROOT_COUNT] BMM__TABLE;
struct bmm__span *bmm__page_map_zero_leaf[BMM__LEAF_COUNT] BMM__TABLE;

static struct bmm__span **leaf_of(uintptr_t address)
{
    uintptr_t *entry = &bmm__page_map_root[address >> BMM__LEAF_SHIFT];
    uintptr_t distance = bmm__load_acquire(entry);
    if (distance == 0) {
        size_t bytes = BMM__LEAF_COUNT * sizeof(struct bmm__span *);
        void *leaf = bmm__meta_map(bytes);
        if (leaf == NULL)
            return NULL;
        uintptr_t mine = (uintptr_t)leaf - (uintptr_t)bmm__page_map_zero_leaf;
        if (bmm__cas_acq_rel(entry, &distance, mine)) /* release, so that a finder sees the leaf mapped */
            distance = mine;
        else
            bmm__meta_unmap(leaf, bytes);
    }
    return (struct bmm__span **)((uintptr_t)bmm__page_map_zero_leaf + distance);
}

/* The address from which on it is another leaf's. */
static uintptr_t next_leaf(uintptr_t address)
{
    return ((address >> BMM__LEAF_SHIFT) + 1) << BMM__LEAF_SHIFT;
}

struct bmm__span *bmm__page_map_find_outside(uintptr_t address)
{
    uintptr_t root_index = address >> BMM__LEAF_SHIFT;
    if (root_index >= BMM__ROOT_COUNT)
        return NULL;
    uintptr_t leaf = (uintptr_t)bmm__page_map_zero_leaf + bmm__load_acquire(&bmm__page_map_root[root_index]);
    struct bmm__span **entry =
        (struct bmm__span **)leaf + ((address >> BMM__GRANULE_SHIFT) & (BMM__LEAF_COUNT - 1)); /* NOLINT */
    return bmm__load_relaxed(entry);
}

uintptr_t *bmm__page_map_entry(uintptr_t start)
{
    uintptr_t index = (start - bmm__window_start) >> BMM__GRANULE_SHIFT;
    if (index >= bmm__load_acquire(&bmm__window_count))
        return NULL;
    return (uintptr_t *)bmm__window_start + index; /* NOLINT */
}

bool bmm__page_map_has_room(uint64_t bytes)
{
    if (bytes < ASK_BYTES)
        return true;
    uint64_t memory = bmm__os_memory_bytes(), all = bmm__load_relaxed(&entered_bytes) + bytes;
    return memory == 0 || all / BMM__GRANULE * sizeof(struct bmm__span *) <= memory / ENTRIES_SHARE;
}

bool bmm__page_map_prepare(uintptr_t start, size_t bytes)
{
    uintptr_t end = start + bytes;
    if ((start - bmm__window_start) >> BMM__GRANULE_SHIFT < bmm__load_acquire(&bmm__window_count))
        return true;
    if (end >> BMM__LEAF_SHIFT >= BMM__ROOT_COUNT)
        return false;
    for (uintptr_t at = start; at < end; at = next_leaf(at))
        if (leaf_of(at) == NULL)
            return false;
    return true;
}

static void fill(struct bmm__span **from, struct bmm__span **to, struct bmm__span *span)
{
    if (span != NULL && (uintptr_t)to - (uintptr_t)from >= MANY_BYTES)
        bmm__os_populate(from, (uintptr_t)to - (uintptr_t)from);
    for (; from < to; from++)
        bmm__store_release(from, span);
}

/* Where there are many, the memory behind them is given back. */
static void clear(struct bmm__span **from, struct bmm__span **to)
{
    size_t page = bmm__os_page_bytes();
    char *whole = (char *)(((uintptr_t)from + page - 1) & ~(page - 1)), /* NOLINT */
        *end = (char *)((uintptr_t)to & ~(page - 1));                   /* NOLINT */
    if (end < whole + MANY_BYTES || !bmm__os_purge_own(whole, (size_t)(end - whole))) {
        fill(from, to, NULL);
        return;
    }
    fill(from, (struct bmm__span **)(void *)whole, NULL);
    fill((struct bmm__span **)(void *)end, to, NULL);
}

bool bmm__page_map_enter(uintptr_t start, size_t bytes, struct bmm__span *span)
{
    uintptr_t end = start + bytes;
    BMM_ASSERT(start % BMM__GRANULE == 0);
    uintptr_t index = (start - bmm__window_start) >> BMM__GRANULE_SHIFT;
    if (index < bmm__load_acquire(&bmm__window_count)) {
        for (uintptr_t i = index; i < index + (bytes >> BMM__GRANULE_SHIFT); i++) {
            if (span == NULL)
                bmm__store_relaxed((uintptr_t *)bmm__window_start + i, (uintptr_t)0); /* NOLINT */
            bmm__store_release(&bmm__window_spans[i], span);
        }
        return true;
    }
    if (span != NULL && !bmm__page_map_prepare(start, bytes))
        return false;
    if (span != NULL)
        bmm__add_relaxed(&entered_bytes, (uint64_t)bytes);
    else
        bmm__sub_relaxed(&entered_bytes, (uint64_t)bytes);
    for (uintptr_t at = start, next; at < end; at = next) {
        next = next_leaf(at) < end ? next_leaf(at) : end;
        struct bmm__span **from = leaf_of(at) + ((at >> BMM__GRANULE_SHIFT) & (BMM__LEAF_COUNT - 1));
        struct bmm__span **to = from + ((next - at) >> BMM__GRANULE_SHIFT);
        if (span != NULL)
            fill(from, to, span);
        else
            clear(from, to);
    }
    return true;
}
