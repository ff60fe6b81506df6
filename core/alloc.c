/* Allocation by size and alignment over slots, page runs, granule runs and large mappings, without the client: the
 * lower half of the door in client.h.
 *
 *   ≤ 32 KiB slots (heap.h) · ≤ 1 MiB page runs (page_run.h) · ≤ 32 MiB granules (arena.h) · above: a mapping each
 */
#include "core/arena.h"
#include "core/atomic.h"
#include "core/client_fast.h"
#include "core/heap_object.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/page_run.h"
#include "core/process.h"
#include "core/purge.h"
#include "core/run.h"
#include "core/size_class.h"

#include "brainmm/snapshot.h"

#include <string.h>

#define FREES_WITHOUT_HEAP 32u

static inline void describe(struct bmm__slot *slot, struct bmm__span *span, uintptr_t address)
{
    uint32_t index = bmm__span_index(span, address - span->start);
    bmm__slot_describe(slot, span, span->start + (uintptr_t)index * span->list.slot_bytes, index);
}

static bool alloc_slot(unsigned class_index, struct bmm__slot *slot)
{
    struct bmm__heap *own = bmm__thread_heap(), *heap = own != NULL ? own : bmm__late_begin();
    void *start = bmm__heap_alloc(heap, class_index);
    struct bmm__span *span = heap->bins[class_index].current; /* from which it comes */
    if (own == NULL)
        bmm__late_end();
    if (start != NULL)
        describe(slot, span, (uintptr_t)start);
    return start != NULL;
}

unsigned bmm__slot_class(size_t size, size_t align)
{
    unsigned align_index = (unsigned)__builtin_ctzll(align) - BMM__ALIGN_SHIFT_MIN;
    if (size > BMM__SLOT_BYTES_MAX || align_index >= BMM__ALIGN_COUNT)
        return BMM__HEAP_CLASS_COUNT;
    unsigned index = bmm__size_class(size < align ? align : size);
    if (align_index == 0)
        return index;
    while ((bmm__class_bytes(index) & (align - 1)) != 0) /* ends: the last class is a multiple of all */
        index++;
    return align_index * BMM__CLASS_COUNT + index;
}

static bool alloc_other(size_t size, size_t align, bool *is_zero, struct bmm__slot *slot)
{
    void *start = bmm__run_alloc(size, align, BMM__USE_ANY, is_zero);
    bmm__purge_tick();
    return start != NULL && bmm__core_find((uintptr_t)start, slot);
}

bool bmm__core_alloc_run(size_t size, size_t align, enum bmm__use use, struct bmm__slot *slot)
{
    bool is_zero;
    void *start = size - 1 < PTRDIFF_MAX ? bmm__run_alloc(size, align, use, &is_zero) : NULL;
    bmm__purge_tick();
    return start != NULL && bmm__core_find((uintptr_t)start, slot);
}

static __attribute__((noinline)) bool alloc_slowly(size_t size, size_t align, bool is_zeroed, struct bmm__slot *slot)
{
    size = size == 0 ? 1 : size;
    if (size > PTRDIFF_MAX)
        return false;
    unsigned class_index = bmm__slot_class(size, align);
    bool is_zero = false;
    if (class_index < BMM__HEAP_CLASS_COUNT ? !alloc_slot(class_index, slot)
                                            : !alloc_other(size, align, &is_zero, slot))
        return false;
    if (is_zeroed && !is_zero)
        memset((void *)slot->start, 0, size); /* NOLINT */
    return true;
}

bool bmm__core_alloc_slot(size_t size, size_t align, bool is_zeroed, struct bmm__slot *slot)
{
    bool is_plain = align == 16 && !is_zeroed;
    return BMM__LIKELY(is_plain && bmm__fast_alloc(size, slot)) || alloc_slowly(size, align, is_zeroed, slot);
}

void *bmm__core_alloc(size_t size, size_t align, bool is_zeroed)
{
    struct bmm__slot slot;
    return bmm__core_alloc_slot(size, align, is_zeroed, &slot) ? (void *)slot.start : NULL; /* NOLINT */
}

/* One in FREES_WITHOUT_HEAP blocks, scattered by their addresses: a counter would be one more word in every thread. */
static bool is_one_in_many(const void *slot)
{
    return (uint32_t)((uintptr_t)slot >> 4) * 0x9e3779b1u < UINT32_MAX / FREES_WITHOUT_HEAP;
}

/* A thread that only frees gets a heap when it has freed some: they go faster in batches (remote.h). */
static __attribute__((noinline)) void free_slot_slowly(struct bmm__span *span, void *start, uint32_t index)
{
    struct bmm__heap *heap = bmm__thread_heap_if_any();
    if (heap == NULL && is_one_in_many(start))
        heap = bmm__thread_heap();
    if (heap != NULL || bmm__heap != &bmm__dead_heap) {
        bmm__heap_free(heap, span, start, index);
        return;
    }
    heap = bmm__late_begin();
    bmm__heap_free(heap, span, start, index);
    bmm__late_end();
}

static inline void free_slot(struct bmm__span *span, void *start, uint32_t index)
{
    struct bmm__heap *heap = bmm__heap;
    if (BMM__LIKELY(bmm__load_relaxed(&span->list.owner) == heap->token))
        bmm__heap_free(heap, span, start, index);
    else
        free_slot_slowly(span, start, index);
}

static bool free_other(struct bmm__span *span, void *start)
{
    if (span->kind == BMM__SPAN_RUNS) {
        if (!bmm__page_run_free(span, start))
            return false;
    } else {
        if (bmm__object_has(span))
            bmm__object_forget(span);
        bmm__span_close(span, true);
        bmm__span_free(span);
    }
    bmm__thread_gave_back();
    return true;
}

bool bmm__core_free(void *start)
{
    struct bmm__span *span = bmm__page_map_find((uintptr_t)start);
    if (!bmm__core_is_start(span, (uintptr_t)start))
        return false;
    if (span->kind != BMM__SPAN_SLOTS)
        return free_other(span, start);
    free_slot(span, start, bmm__span_index(span, (uintptr_t)start - span->start));
    return true;
}

void bmm__core_free_slot(const struct bmm__slot *slot)
{
    if (BMM__LIKELY(slot->span->kind == BMM__SPAN_SLOTS))
        free_slot(slot->span, (void *)slot->start, slot->index); /* NOLINT */
    else
        free_other(slot->span, (void *)slot->start); /* NOLINT */
}

bool bmm__core_is_start(const struct bmm__span *span, uintptr_t address)
{
    if (span == NULL)
        return false;
    if (span->kind == BMM__SPAN_SLOTS)
        return bmm__span_slot_at(span, address - span->start, &(uint32_t){ 0 });
    if (span->kind == BMM__SPAN_RUNS) {
        struct bmm__page_run run = bmm__page_run_find(span, address);
        return !run.is_free && run.start == address;
    }
    return span->kind != BMM__SPAN_JIT && address == span->start;
}

static __attribute__((noinline)) bool find_slowly(uintptr_t address, struct bmm__slot *slot)
{
    struct bmm__span *span = bmm__page_map_find(address);
    if (span == NULL || span->kind == BMM__SPAN_JIT)
        return false;
    if (span->kind == BMM__SPAN_SLOTS) {
        describe(slot, span, address);
        return slot->index < span->slot_count;
    }
    *slot = (struct bmm__slot){
        .span = span, .side = bmm__load_acquire(&span->side), .start = span->start, .bytes = span->span_bytes
    };
    if (span->kind == BMM__SPAN_RUNS) {
        struct bmm__page_run run = bmm__page_run_find(span, address);
        slot->start = run.start;
        slot->bytes = run.bytes;
        slot->index = run.index;
        slot->is_free_run = run.is_free;
    }
    return true;
}

/* A slot in the window, most likely; then no register need be saved. */
bool bmm__core_find(uintptr_t address, struct bmm__slot *slot)
{
    struct bmm__span *span = bmm__page_map_find_inside(address);
    if (BMM__UNLIKELY(span == NULL || span->kind != BMM__SPAN_SLOTS))
        return find_slowly(address, slot);
    describe(slot, span, address);
    return slot->index < span->slot_count;
}

struct bmm__span_view bmm__core_span_view(const struct bmm__span *span)
{
    if (span->kind == BMM__SPAN_SLOTS)
        return (struct bmm__span_view){ span->start, span->list.slot_bytes, span->slot_count, BMM_SPAN_SLOTS,
                                        (bmm__load_relaxed(&span->use) & BMM__SPAN_IS_NEXT) != 0 };
    if (span->kind == BMM__SPAN_RUNS)
        return (struct bmm__span_view){ span->start, bmm__os_page_bytes(), span->slot_count, BMM_SPAN_RUNS, false };
    return (struct bmm__span_view){ span->start, span->span_bytes, 1, BMM_SPAN_LARGE, false };
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
