/* The page map: address → descriptor of the span that owns it, for any 64-bit value, in two dependent loads, without
 * touching the memory there.
 *
 *   root (.bss)                zero leaf (.bss, never written)      leaf, 4 MiB, mapped on demand, covers 32 GiB
 *   ┌───┬───┬───┬──            ┌───┬───┬──                          ┌───┬──────┬──────┬──
 *   │ 0 │ 0 │ d │…             │ 0 │ 0 │…                           │ 0 │ span │ span │…   one entry per granule
 *   └───┴───┴───┴──            └───┴───┴──                          └───┴──────┴──────┴──
 * A root entry is the distance from the zero leaf to its leaf, so that a root of zeros is a right root: a free before
 * the first allocation needs no initialisation to have happened.
 *
 * Invariants: M1 a leaf is never taken away. M2 an entry is set before an address of the span is handed out and
 * cleared before its memory can be handed out again.
 */
#ifndef BMM_PAGE_MAP_H
#define BMM_PAGE_MAP_H

#include "core/atomic.h"
#include "core/os.h"
#include "core/span.h"

#define BMM__LEAF_SHIFT 35
#define BMM__ROOT_COUNT ((size_t)1 << (47 - BMM__LEAF_SHIFT))
#define BMM__LEAF_COUNT ((size_t)1 << (BMM__LEAF_SHIFT - BMM__GRANULE_SHIFT))

extern uintptr_t bmm__page_map_root[BMM__ROOT_COUNT];
extern struct bmm__span *bmm__page_map_zero_leaf[BMM__LEAF_COUNT];

/* The descriptor that owns address, NULL if none does. */
static inline struct bmm__span *bmm__page_map_find(uintptr_t address)
{
    uintptr_t root_index = address >> BMM__LEAF_SHIFT;
    if (__builtin_expect(root_index >= BMM__ROOT_COUNT, 0))
        return NULL;
    uintptr_t leaf = (uintptr_t)bmm__page_map_zero_leaf + bmm__load_relaxed(&bmm__page_map_root[root_index]);
    struct bmm__span **entry =
        (struct bmm__span **)leaf + ((address >> BMM__GRANULE_SHIFT) & (BMM__LEAF_COUNT - 1)); /* NOLINT */
    return bmm__load_relaxed(entry);
}

/* Enters span (or NULL) for the granules of [start, start + bytes). False: no memory for a leaf, nothing entered. */
bool bmm__page_map_enter(uintptr_t start, size_t bytes, struct bmm__span *span);

#endif
