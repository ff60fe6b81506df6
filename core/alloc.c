/* Allocation by size and alignment over slots, big runs and large mappings, without the client: the lower half of the
 * door in client.h. */
#include "core/arena.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/process.h"
#include "core/size_class.h"

#include "brainmm/snapshot.h"

#include <string.h>

#define SLOT_ALIGN_MAX 4096u

static void *alloc_slot(unsigned class_index)
{
    struct bmm__heap *heap = bmm__thread_heap();
    if (heap != NULL)
        return bmm__heap_alloc(heap, class_index);
    heap = bmm__late_begin();
    void *slot = bmm__heap_alloc(heap, class_index);
    bmm__late_end();
    return slot;
}

/* The smallest class whose slots are all multiples of align; BMM__CLASS_COUNT: none. */
static unsigned aligned_class(size_t size, size_t align)
{
    if (size > BMM__SLOT_BYTES_MAX || align > SLOT_ALIGN_MAX)
        return BMM__CLASS_COUNT;
    unsigned index = bmm__size_class(size < align ? align : size);
    while (index < BMM__CLASS_COUNT && bmm__class_bytes(index) % align != 0)
        index++;
    return index;
}

void *bmm__core_alloc(size_t size, size_t align, bool is_zeroed)
{
    size = size == 0 ? 1 : size;
    if (size > PTRDIFF_MAX)
        return NULL;
    unsigned class_index = aligned_class(size, align);
    if (class_index < BMM__CLASS_COUNT) {
        void *slot = alloc_slot(class_index);
        if (slot != NULL && is_zeroed)
            memset(slot, 0, size);
        return slot;
    }
    size_t whole = (size + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
    bool is_large = whole > BMM__ARENA_RUN_MAX || align > BMM__GRANULE;
    struct bmm__span *span = is_large ? bmm__span_open_large(size, align) : bmm__span_open(whole, BMM__SPAN_BIG, 0, 0);
    if (span == NULL)
        return NULL;
    span->align_shift = (uint8_t)__builtin_ctzll(align);
    void *start = (void *)span->start; /* NOLINT */
    if (is_zeroed && !is_large)
        memset(start, 0, size);
    return start;
}

void bmm__core_free(void *slot_start)
{
    struct bmm__span *span = bmm__page_map_find((uintptr_t)slot_start);
    if (span->kind != BMM__SPAN_SLOTS) {
        bmm__span_close(span);
        bmm__span_free(span);
        return;
    }
    struct bmm__heap *heap = bmm__thread_heap_if_any();
    if (heap != NULL || bmm__heap != &bmm__dead_heap) {
        bmm__heap_free(heap, span, slot_start);
        return;
    }
    heap = bmm__late_begin();
    bmm__heap_free(heap, span, slot_start);
    bmm__late_end();
}

bool bmm__core_resize(void *slot_start, size_t size)
{
    const struct bmm__span *span = bmm__page_map_find((uintptr_t)slot_start);
    return size <= (span->kind == BMM__SPAN_SLOTS ? span->slot_bytes : span->span_bytes);
}

void *bmm__core_remap(void *slot_start, size_t size)
{
    struct bmm__span *span = bmm__page_map_find((uintptr_t)slot_start);
    size_t whole = (size + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1), old_bytes = span->span_bytes;
    if (span->kind != BMM__SPAN_LARGE || whole <= BMM__ARENA_RUN_MAX || whole < size)
        return NULL;
    size_t align = (size_t)1 << span->align_shift;
    /* Entries go before the pages move: behind them the old addresses may at once be another thread's. */
    uintptr_t old_start = span->start;
    bmm__page_map_enter(old_start, old_bytes, NULL);
    void *moved = bmm__os_remap(slot_start, old_bytes, whole, align < BMM__GRANULE ? BMM__GRANULE : align);
    if (moved == NULL) {
        bmm__page_map_enter(old_start, old_bytes, span);
        return NULL;
    }
    if (((uintptr_t)moved & (BMM__GRANULE - 1)) != 0 || !bmm__page_map_enter((uintptr_t)moved, whole, span)) {
        moved = bmm__os_remap(moved, whole, old_bytes, BMM__GRANULE);
        if (moved != slot_start)
            bmm__os_abort(); /* the address has no entry and cannot get one: the leaf it had is never taken away */
        bmm__page_map_enter(old_start, old_bytes, span);
        return NULL;
    }
    void *side = bmm__exchange_acq_rel(&span->side, NULL);
    if (bmm__process.client != NULL && side != NULL)
        bmm__process.client->span_end(span, side);
    span->start = (uintptr_t)moved;
    span->span_bytes = whole;
    return moved;
}

bool bmm__core_find(uintptr_t address, struct bmm__slot *slot)
{
    struct bmm__span *span = bmm__page_map_find(address);
    if (span == NULL)
        return false;
    slot->span = span;
    slot->is_free_run = false;
    slot->index = 0;
    slot->start = span->start;
    slot->bytes = span->span_bytes;
    if (span->kind != BMM__SPAN_SLOTS)
        return true;
    slot->index = (uint32_t)((address - span->start) / span->slot_bytes);
    slot->bytes = span->slot_bytes;
    slot->start = span->start + (uintptr_t)slot->index * span->slot_bytes;
    return slot->index < span->slot_count;
}

struct bmm__span_view bmm__core_span_view(const struct bmm__span *span)
{
    struct bmm__span_view view = { span->start, span->span_bytes, 1, BMM_SPAN_LARGE };
    if (span->kind == BMM__SPAN_SLOTS)
        view = (struct bmm__span_view){ span->start, span->slot_bytes, span->slot_count, BMM_SPAN_SLOTS };
    return view;
}

void **bmm__core_span_side(struct bmm__span *span)
{
    return &span->side;
}

void bmm__core_walk(void (*visit)(struct bmm__span *span, void *side, void *context), void *context)
{
    for (struct bmm__span *span = bmm__span_first(); span != NULL; span = span->all_next) {
        void *side = bmm__load_acquire(&span->side);
        if (bmm__load_acquire(&span->kind) != BMM__SPAN_UNUSED && side != NULL)
            visit(span, side, context);
    }
}
