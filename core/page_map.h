/* The page map: address → descriptor of the span that owns it, for any 64-bit value, without touching the memory there.
 * What lies in the window (window.h) is found there; everything else in a tree of two levels:
 *
 *   root (.bss)                zero leaf (.bss, never written)      leaf, 4 MiB, mapped on demand, covers 32 GiB
 *   ┌───┬───┬───┬──            ┌───┬───┬──                          ┌───┬──────┬──────┬──
 *   │ 0 │ 0 │ d │…             │ 0 │ 0 │…                           │ 0 │ span │ span │…   one entry per granule
 *   └───┴───┴───┴──            └───┴───┴──                          └───┴──────┴──────┴──
 * A root entry is the distance from the zero leaf to its leaf, so that a root of zeros is a right root: a free before
 * the first allocation needs no initialisation to have happened.
 *
 * Invariants: M1 a leaf is never taken away. M2 an entry is set before an address of the span is handed out and
 * cleared before its memory can be handed out again. M3 an address has its entry in the window or in the tree.
 */
#ifndef BMM_PAGE_MAP_H
#define BMM_PAGE_MAP_H

#include "core/atomic.h"
#include "core/os.h"
#include "core/span.h"
#include "core/window.h"

#define BMM__LEAF_SHIFT 35
#define BMM__ROOT_COUNT ((size_t)1 << (BMM__ADDRESS_BITS - BMM__LEAF_SHIFT))
#define BMM__LEAF_COUNT ((size_t)1 << (BMM__LEAF_SHIFT - BMM__GRANULE_SHIFT))

extern uintptr_t bmm__page_map_root[BMM__ROOT_COUNT];
extern struct bmm__span *bmm__page_map_zero_leaf[BMM__LEAF_COUNT];

/* Looks in the tree only; NULL: nothing there. */
struct bmm__span *bmm__page_map_find_outside(uintptr_t address);

/* A list, as an entry of the window names it: two parts, so that no sum need be kept in a register, for addressing adds for
 * nothing. */
struct bmm__list_place {
    uintptr_t table, distance;
};

static inline struct bmm__list *bmm__list_at(struct bmm__list_place place)
{
    return (struct bmm__list *)(place.table + place.distance); /* NOLINT */
}

/* The list that a block at the address goes to if its owner frees it; owned by nobody where that is not so simple. False:
 * the address is not near the window. */
static inline bool bmm__page_map_look(uintptr_t address, struct bmm__list_place *place)
{
    uintptr_t index = (address - BMM__WINDOW_TABLE_FROM) >> BMM__GRANULE_SHIFT;
    /* acquire, so that the entries of a wild address can be read (W1) */
    if (__builtin_expect(index >= bmm__load_operand(&BMM__WINDOW_TABLE_COUNT), 0))
        return false;
    /* Never while another thread makes the window, which the first allocation does: pthread_create allocates. */
    const uintptr_t *entries = (const uintptr_t *)BMM__WINDOW_TABLE; /* NOLINT */
#ifdef BMM_SECURE /* which needs more of the list than addresses can add up */
    *place = (struct bmm__list_place){ 0, BMM__WINDOW_TABLE + bmm__load_relaxed(&entries[index]) };
#else
    *place = (struct bmm__list_place){ BMM__WINDOW_TABLE, bmm__load_relaxed(&entries[index]) };
#endif
    return true;
}

/* Looks in the window only; NULL: nothing there. */
static inline struct bmm__span *bmm__page_map_find_inside(uintptr_t address)
{
    uintptr_t index = (address - bmm__window_start) >> BMM__GRANULE_SHIFT;
    return index >= bmm__load_acquire(&bmm__window_count) ? NULL : bmm__load_relaxed(&bmm__window_spans[index]);
}

/* The descriptor that owns address, NULL if none does. */
static inline struct bmm__span *bmm__page_map_find(uintptr_t address)
{
    struct bmm__span *span = bmm__page_map_find_inside(address);
    return span != NULL ? span : bmm__page_map_find_outside(address);
}

/* Whether the span that the descriptor says is still its own: it goes on saying so for a while after the memory was given back, and
 * another may be opened there meanwhile. */
static inline bool bmm__page_map_has(const struct bmm__span *span)
{
    return bmm__page_map_find(bmm__load_relaxed(&span->start)) == span;
}

/* Enters span (or NULL) for the granules of [start, start + bytes). False: no memory for a leaf, nothing entered. */
bool bmm__page_map_enter(uintptr_t start, size_t bytes, struct bmm__span *span);

/* Makes the leaves for that: from now on it cannot fail (M1). False: no memory. */
bool bmm__page_map_prepare(uintptr_t start, size_t bytes);

/* Asked before so many bytes of address space more are had outside of the window. False: the entries of all, of 512 times the
 * machine's memory, would take a sixteenth of it. */
bool bmm__page_map_has_room(uint64_t bytes);

/* The window's entry for the granule at start, NULL if it lies outside: which list is found there is what the span's owner
 * writes to it, as its distance from BMM__WINDOW_TABLE. Until then, and from bmm__page_map_enter(NULL) on, it is none. */
uintptr_t *bmm__page_map_entry(uintptr_t start);

#endif
