/* What a client asks the core most often, inline, as far as it is simple: a slot of a span of slots in the window, the caller's
 * heap. False: it is not, and nothing was done; then client.h knows. */
#ifndef BMM_CLIENT_FAST_H
#define BMM_CLIENT_FAST_H

#include "core/assert.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/heap.h"
#include "core/page_map.h"
#include "core/size_class.h"

static inline void bmm__slot_describe(struct bmm__slot *slot, struct bmm__span *span, uintptr_t start, uint32_t index)
{
    slot->span = span;
    slot->side = bmm__load_acquire(&span->side);
    slot->index = index;
    slot->bytes = span->list.slot_bytes;
    slot->start = start;
    slot->is_free_run = false;
}

/* The slot that begins at address, for any 64-bit value. */
static inline bool bmm__fast_find(uintptr_t address, struct bmm__slot *slot)
{
    struct bmm__span *span = bmm__page_map_find_inside(address);
    uint32_t index;
    if (BMM__UNLIKELY(span == NULL || span->kind != BMM__SPAN_SLOTS ||
                      !bmm__span_slot_at(span, address - span->start, &index)))
        return false;
    bmm__slot_describe(slot, span, address, index);
    return true;
}

/* What the fast paths are without a client, this is with one: a slot of a current span that is not shown to them. A multiple of
 * 16, its content whatever it was. */
static inline bool bmm__fast_alloc(size_t size, struct bmm__slot *slot)
{
    if (BMM__UNLIKELY(size - 1 >= BMM__SLOT_BYTES_MAX))
        return false;
    struct bmm__heap *heap = bmm__heap;
    struct bmm__bin *bin = &heap->bins[bmm__size_class(size)];
    if (BMM__UNLIKELY(!bmm__heap_has_slot(bin->current)))
        return false;
    if (BMM__UNLIKELY(bmm__heap_is_to_look(heap))) {
        bmm__heap_look_now(heap); /* it may let the span go */
        if (!bmm__heap_has_slot(bin->current))
            return false;
    }
    struct bmm__span *span = bin->current;
    uintptr_t start = (uintptr_t)bmm__heap_take(heap, span);
    bmm__list_prefetch(&span->list); /* lest the next call wait for it */
    bmm__slot_describe(slot, span, start, bmm__span_index(span, start - span->start));
    return true;
}

/* What bmm__core_free_slot does with a slot that bmm__fast_find said of. */
static inline bool bmm__fast_free(const struct bmm__slot *slot)
{
    struct bmm__list *list = &slot->span->list;
    if (BMM__UNLIKELY(bmm__load_relaxed(&list->owner) != bmm__heap->token || slot->span->is_shown))
        return false;
    bmm__slot_retire_checked(list, (void *)slot->start, slot->index); /* NOLINT */
    bmm__heap_put(list, (void *)slot->start, slot->index);            /* NOLINT */
    return true;
}

#endif
