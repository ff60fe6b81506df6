#include "core/heap_object.h"

#include "core/atomic.h"
#include "core/client.h"
#include "core/heap_object_pool.h"
#include "core/meta.h"
#include "core/page_map.h"
#include "core/process.h"
#include "core/purge.h"
#include "core/refill.h"
#include "core/run.h"
#include "core/secure_span.h"
#include "core/visit.h"

#include <errno.h>
#include <string.h>

/* ---- which spans there are ---- */

/* O2 */
static bool is_own(const struct bmm_heap *object, const struct bmm__span *span)
{
    /* In this order: heap was stored first (bmm__object_add_span), so it is that of the use that was seen. */
    return (bmm__load_acquire(&span->use) & BMM__SPAN_USE) == BMM__USE_HEAP &&
           bmm__load_acquire(&span->kind) == BMM__SPAN_SLOTS && bmm__load_relaxed(&span->heap) == object->heap;
}

/* Drops what is stale, or there already. */
static void tidy(struct bmm_heap *object)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < object->span_count; i++) {
        struct bmm__span *span = object->spans[i];
        if (is_own(object, span) && (bmm__or_acq_rel(&span->use, BMM__SPAN_IS_SEEN) & BMM__SPAN_IS_SEEN) == 0)
            object->spans[kept++] = span;
    }
    object->span_count = kept;
    for (uint32_t i = 0; i < kept; i++)
        bmm__and_acq_rel(&object->spans[i]->use, (uint8_t)~BMM__SPAN_IS_SEEN);
}

/* Twice as many, in memory of its own, of which the old goes back. */
static bool grow(struct bmm_heap *object)
{
    size_t old_bytes = object->span_capacity * sizeof(struct bmm__span *);
    size_t bytes = object->spans == object->first_spans ? BMM__GRANULE : 2 * old_bytes;
    struct bmm__span **spans = bmm__meta_map(bytes);
    if (spans == NULL)
        return false;
    memcpy(spans, object->spans, object->span_count * sizeof *spans);
    if (object->spans != object->first_spans)
        bmm__meta_unmap(object->spans, old_bytes);
    object->spans = spans;
    object->span_capacity = (uint32_t)(bytes / sizeof *spans);
    return true;
}

bool bmm__object_add_span(struct bmm_heap *object, struct bmm__span *span)
{
    if (object->span_count == object->span_capacity) {
        tidy(object);
        if (object->span_count >= object->span_capacity / 2 && !grow(object) &&
            object->span_count == object->span_capacity)
            return false;
    }
    bmm__or_acq_rel(&span->use, (uint8_t)BMM__USE_HEAP); /* release */
    object->spans[object->span_count++] = span;
    return true;
}

void bmm__object_drop_span(struct bmm_heap *object, const struct bmm__span *span)
{
    for (uint32_t i = 0; i < object->span_count;) {
        if (object->spans[i] == span)
            object->spans[i] = object->spans[--object->span_count];
        else
            i++;
    }
}

static void add_large(struct bmm_heap *object, struct bmm__span *span)
{
    bmm__store_release(&span->heap, object->heap);
    span->prev = NULL;
    span->next = object->large;
    if (object->large != NULL)
        object->large->prev = span;
    object->large = span;
}

static void take_out(struct bmm_heap *object, struct bmm__span *span)
{
    *(span->prev != NULL ? &span->prev->next : &object->large) = span->next;
    if (span->next != NULL)
        span->next->prev = span->prev;
}

void bmm__object_forget(struct bmm__span *span)
{
    struct bmm_heap *object = span->heap->object;
    bmm__lock_take(&object->lock);
    take_out(object, span);
    bmm__lock_release(&object->lock);
}

/* ---- allocating ---- */

static void *alloc_slot(struct bmm_heap *object, unsigned class_index)
{
    bmm__lock_take(&object->lock);
    void *slot = bmm__heap_alloc(object->heap, class_index);
    bmm__lock_release(&object->lock);
    return slot;
}

static void *alloc_large(struct bmm_heap *object, size_t size, size_t align, bool *is_zero)
{
    void *start = bmm__run_alloc(size, align, BMM__USE_HEAP, is_zero);
    if (start == NULL)
        return NULL;
    bmm__lock_take(&object->lock);
    add_large(object, bmm__page_map_find((uintptr_t)start));
    bmm__lock_release(&object->lock);
    bmm__purge_tick();
    return start;
}

static void *alloc(struct bmm_heap *object, size_t size, size_t align, bool is_zeroed)
{
    size = size == 0 ? 1 : size;
    if (size > PTRDIFF_MAX)
        return NULL;
    unsigned class_index = bmm__slot_class(size, align);
    bool is_zero = false;
    void *start = class_index < BMM__HEAP_CLASS_COUNT ? alloc_slot(object, class_index)
                                                      : alloc_large(object, size, align, &is_zero);
    if (start != NULL && is_zeroed && !is_zero)
        memset(start, 0, size);
    return start;
}

void *bmm__object_alloc(struct bmm_heap *object, size_t size, size_t align, bool is_zeroed)
{
    int saved_errno = errno;
    if (align == 0 || (align & (align - 1)) != 0) {
        errno = EINVAL;
        return NULL;
    }
    void *start = alloc(object, size, align < 16 ? 16 : align, is_zeroed);
    errno = start == NULL ? ENOMEM : saved_errno;
    return start;
}

bool bmm__core_object_alloc(struct bmm_heap *object, size_t size, size_t align, bool is_zeroed, struct bmm__slot *slot)
{
    void *start = alloc(object, size, align, is_zeroed);
    return start != NULL && bmm__core_find((uintptr_t)start, slot);
}

struct bmm_heap *bmm__core_object_of(const struct bmm__slot *slot)
{
    return bmm__object_of(slot->span);
}

/* ---- the end of all ---- */

/* Others may claim the span until its word says that it is allocated from, and have done so already; then the descriptor is ours
 * still, until we say that we have seen it (span.h). */
static void close_span(struct bmm__span *span)
{
    uint64_t word = bmm__refill_take(span, BMM__REMOTE_CURRENT);
    if (BMM__REMOTE_STATE(word) == BMM__REMOTE_CLAIMED) {
        if ((word & BMM__REMOTE_DONE) != 0)
            bmm__span_free(span);
        return;
    }
    bmm__secure_forget(span);
    bmm__span_close(span, true);
    bmm__span_free(span);
}

/* Lists without a shown span are empty (H1), and an object's heap never has one. */
static void forget_lists(struct bmm__heap *heap)
{
    for (unsigned i = 0; i < BMM__HEAP_CLASS_COUNT; i++) {
        struct bmm__bin *bin = &heap->bins[i];
        if ((heap->align_sets >> i / BMM__CLASS_COUNT & 1) == 0 || bmm__bin_is_empty(bin))
            continue; /* and its page, maybe, was never touched */
        bin->current = bin->first = bin->last = NULL;
    }
    heap->unlisted = NULL;
    (void)bmm__exchange_acq_rel(&heap->ready, NULL);
    heap->align_sets = 0;
}

static void clear_slots(struct bmm_heap *object)
{
    bmm__lock_take(&object->lock);
    bmm__heap_begin(object->heap);
    tidy(object);
    forget_lists(object->heap);
    for (uint32_t i = 0; i < object->span_count; i++)
        close_span(object->spans[i]);
    object->span_count = 0;
    bmm__heap_end(object->heap);
    bmm__lock_release(&object->lock);
    bmm__thread_gave_back();
}

static struct bmm__span *take_large(struct bmm_heap *object)
{
    bmm__lock_take(&object->lock);
    struct bmm__span *span = object->large;
    bmm__lock_release(&object->lock);
    return span;
}

static void clear(struct bmm_heap *object)
{
    for (struct bmm__span *span; (span = take_large(object)) != NULL;)
        bmm__core_free((void *)span->start); /* NOLINT */
    clear_slots(object);
}

void bmm__object_clear(struct bmm_heap *object)
{
    int saved_errno = errno;
    if (bmm__process.client != NULL)
        bmm__process.client->object_clear(object);
    else
        clear(object);
    errno = saved_errno;
}

struct visit {
    void (*visit)(uintptr_t slot_start, void *context);
    void *context;
};

static bool visit_slot(uintptr_t start, size_t bytes, bool is_certain, void *context)
{
    const struct visit *to = context;
    (void)bytes, (void)is_certain;
    to->visit(start, to->context);
    return true;
}

/* A visitor may give back more than it is shown: so the list is gone through from its start each time, for one that was not
 * shown yet. */
static struct bmm__span *take_unseen(struct bmm_heap *object)
{
    bmm__lock_take(&object->lock);
    struct bmm__span *span = object->large;
    while (span != NULL && (bmm__or_acq_rel(&span->use, BMM__SPAN_IS_SEEN) & BMM__SPAN_IS_SEEN) != 0)
        span = span->next;
    bmm__lock_release(&object->lock);
    return span;
}

static void forget_seen(struct bmm_heap *object)
{
    bmm__lock_take(&object->lock);
    for (struct bmm__span *span = object->large; span != NULL; span = span->next)
        bmm__and_acq_rel(&span->use, (uint8_t)~BMM__SPAN_IS_SEEN);
    bmm__lock_release(&object->lock);
}

void bmm__core_object_visit(struct bmm_heap *object, void (*visit)(uintptr_t slot_start, void *context), void *context)
{
    bmm__lock_take(&object->lock);
    tidy(object);
    uint32_t span_count = object->span_count;
    bmm__lock_release(&object->lock);
    struct visit to = { visit, context };
    for (uint32_t i = 0; i < span_count; i++)
        if (is_own(object, object->spans[i]))
            bmm__visit_span(object->spans[i], visit_slot, &to);
    for (struct bmm__span *span; (span = take_unseen(object)) != NULL;)
        visit(span->start, context);
    forget_seen(object);
}

/* ---- beginning and end of objects ---- */

struct bmm_heap *bmm__object_create(void)
{
    int saved_errno = errno;
    struct bmm_heap *object = bmm__object_pool_take();
    errno = object == NULL ? ENOMEM : saved_errno;
    return object;
}

/* What a client gave back block by block. */
static void release_free(struct bmm_heap *object)
{
    bmm__lock_take(&object->lock);
    bmm__heap_minimize(object->heap);
    tidy(object);
    bmm__lock_release(&object->lock);
    bmm__thread_gave_back();
}

void bmm__object_destroy(struct bmm_heap *object)
{
    if (object == NULL)
        return;
    bmm__object_clear(object);
    if (bmm__process.client != NULL)
        release_free(object);
    bmm__object_pool_give(object);
}

bool bmm__object_owns(const struct bmm_heap *object, const void *p)
{
    const struct bmm__span *span = bmm__page_map_find((uintptr_t)p);
    return span != NULL && bmm__load_acquire(&span->kind) != BMM__SPAN_JIT && bmm__object_of(span) == object;
}
