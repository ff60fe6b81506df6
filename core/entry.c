/* The slow paths behind every public entry, and the bmm_ calls. */
#include "core/entry.h"

#include "core/client.h"
#include "core/os.h"
#include "core/page_run.h"
#include "core/process.h"
#include "core/purge.h"
#include "core/text.h"

#include "brainmm/brainmm.h"
#include "brainmm/snapshot.h"

#include <errno.h>
#include <string.h>

static __attribute__((noinline)) void *alloc_from_core(size_t size, size_t align, bool is_zeroed)
{
    int saved_errno = errno;
    void *p = size <= PTRDIFF_MAX ? bmm__core_alloc(size, align, is_zeroed) : NULL;
    errno = p == NULL ? ENOMEM : saved_errno;
    return p;
}

/* These four with tail calls only: so a client finds that it was called by the program, or little beyond it. */

static __attribute__((noinline)) void *alloc_first(size_t size, size_t align, bool is_zeroed, unsigned kind)
{
    bmm__process_start();
    if (bmm__process.client != NULL && size <= PTRDIFF_MAX)
        return bmm__process.client->alloc(size, align, is_zeroed, kind);
    return alloc_from_core(size, align, is_zeroed);
}

static void *alloc_right(size_t size, size_t align, bool is_zeroed, unsigned kind)
{
    const struct bmm__client *client = bmm__process.client;
    if (BMM__LIKELY(client != NULL && size <= PTRDIFF_MAX))
        return client->alloc(size, align, is_zeroed, kind);
    return alloc_first(size, align, is_zeroed, kind);
}

void *bmm__alloc_slow(size_t size, size_t align, bool is_zeroed, unsigned kind)
{
    if (align == 0 || (align & (align - 1)) != 0) {
        errno = EINVAL;
        return NULL;
    }
    return alloc_right(size, align < 16 ? 16 : align, is_zeroed, kind);
}

static __attribute__((noinline)) void *alloc_own(struct bmm__heap *heap, size_t size)
{
    void *slot = bmm__heap_alloc(heap, bmm__heap_bin(heap, size));
    return BMM__LIKELY(slot != NULL) ? slot : alloc_from_core(size, 16, false);
}

void *bmm__alloc_refill(size_t size, unsigned kind)
{
    struct bmm__heap *heap = bmm__heap;
    if (size <= BMM__SLOT_BYTES_MAX && heap->token == (uintptr_t)heap) /* no client, and neither fresh nor dead */
        return alloc_own(heap, size);
    return alloc_right(size, 16, false, kind);
}

/* Stops the program: going on would hand its own memory, or nobody's, to the next allocation. */
static _Noreturn void wrong_free(const void *p)
{
    struct bmm__text text;
    bmm__text_begin(&text);
    bmm__text_put(&text, "free or realloc of ");
    bmm__text_put_hex(&text, (uintptr_t)p);
    bmm__text_put(&text, ", which is not the start of an allocated block");
    bmm__text_send(&text);
    bmm__os_abort();
}

static __attribute__((noinline)) void free_to_core(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    if (p == NULL)
        return;
    bmm__process_start();
    if (bmm__process.client != NULL)
        bmm__process.client->free(p, given_size, given_align, kind);
    else if (!bmm__core_free(p))
        wrong_free(p);
}

/* A slot in the window, no client, and a heap: another thread's, most likely. With tail calls only, so that no register has
 * to be saved, and a client finds its caller to be the program. */
void bmm__free_slow(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    struct bmm__heap *heap = bmm__heap;
    if (BMM__LIKELY(heap->token == (uintptr_t)heap)) {
        struct bmm__span *span = bmm__page_map_find_inside((uintptr_t)p);
        uint32_t index;
        if (BMM__LIKELY(span != NULL && span->kind == BMM__SPAN_SLOTS &&
                        bmm__span_slot_at(span, (uintptr_t)p - span->start, &index))) {
            bmm__heap_free(heap, span, p, index);
            return;
        }
    } else if (BMM__LIKELY(bmm__process.client != NULL && p != NULL)) {
        bmm__process.client->free(p, given_size, given_align, kind);
        return;
    }
    free_to_core(p, given_size, given_align, kind);
}

size_t bmm__usable_size(const void *p)
{
    struct bmm__slot slot;
    if (p == NULL)
        return 0;
    if (bmm__process.client != NULL)
        return bmm__process.client->usable_size(p);
    return bmm__core_find((uintptr_t)p, &slot) ? slot.bytes - ((uintptr_t)p - slot.start) : 0;
}

/* A new block of the same alignment; what p holds is copied. */
static void *realloc_copy(void *p, size_t old_bytes, size_t size, unsigned align_shift, unsigned kind)
{
    void *moved = bmm__alloc_slow(size, (size_t)1 << align_shift, false, kind);
    if (moved == NULL)
        return size <= old_bytes ? p : NULL;
    memcpy(moved, p, size < old_bytes ? size : old_bytes);
    bmm__free(p, SIZE_MAX, 0, kind);
    return moved;
}

/* A block that grows by little will grow again: it gets a quarter to spare. */
static size_t with_room_to_grow(size_t size, size_t old_bytes)
{
    size_t more = old_bytes + old_bytes / 4;
    return size > old_bytes && size <= more && more <= BMM__SLOT_BYTES_MAX ? more : size;
}

static void *realloc_slot(const struct bmm__span *span, void *p, size_t size, unsigned kind)
{
    bmm__slot_expect_used(&span->list, p);
    size_t old_bytes = span->list.slot_bytes;
    if (size <= old_bytes &&
        (size >= old_bytes / 2 || bmm__slot_class(size, (size_t)1 << span->align_shift) == span->class_index))
        return p;
    return realloc_copy(p, old_bytes, with_room_to_grow(size, old_bytes), span->align_shift, kind);
}

/* To the right, to both sides with one move, by changing page addresses, and only then by copying. */
static void *realloc_run(struct bmm__span *span, void *p, size_t size, unsigned kind)
{
    struct bmm__slot slot;
    bmm__core_find((uintptr_t)p, &slot);
    size_t old_bytes = slot.bytes;
    unsigned align_shift = span->align_shift;
    if (span->kind == BMM__SPAN_RUNS)
        align_shift = bmm__page_run_find(span, (uintptr_t)p).align_shift;
    bool is_run = size > BMM__SLOT_BYTES_MAX;
    if (is_run && bmm__core_resize(p, size))
        return p;
    void *moved = NULL;
    if (size > old_bytes && span->kind == BMM__SPAN_RUNS)
        moved = bmm__page_run_slide(span, p, size);
    else if (is_run)
        moved = bmm__core_remap(p, size);
    return moved != NULL ? moved : realloc_copy(p, old_bytes, size, align_shift, kind);
}

static void *realloc_slow(void *p, size_t size, unsigned kind)
{
    if (p == NULL)
        return bmm__alloc(size, kind);
    if (size == 0) {
        bmm__free(p, SIZE_MAX, 0, kind);
        return NULL;
    }
    if (size > PTRDIFF_MAX) { /* what is rounded up below would come around to 0 */
        errno = ENOMEM;
        return NULL;
    }
    if (bmm__process.client != NULL)
        return bmm__process.client->realloc(p, size, kind);
    struct bmm__span *span = bmm__page_map_find((uintptr_t)p);
    if (!bmm__core_is_start(span, (uintptr_t)p))
        wrong_free(p);
    return span->kind == BMM__SPAN_SLOTS ? realloc_slot(span, p, size, kind) : realloc_run(span, p, size, kind);
}

/* p is in a slot of the caller's own. */
static __attribute__((noinline)) void *realloc_elsewhere(struct bmm__list *list, void *p, size_t size, unsigned kind)
{
    const struct bmm__span *span = bmm__page_map_find((uintptr_t)p);
    if (size == 0 || size > BMM__SLOT_BYTES_MAX || span->align_shift != BMM__ALIGN_SHIFT_MIN ||
        !bmm__span_is_at_slot(span, (uintptr_t)p - span->start))
        return realloc_slow(p, size, kind);
    if (bmm__size_class(size) == span->class_index)
        return p;
    size_t old_bytes = list->slot_bytes;
    void *moved = bmm__alloc(with_room_to_grow(size, old_bytes), kind);
    if (BMM__UNLIKELY(moved == NULL))
        return size <= old_bytes ? p : NULL;
    memcpy(moved, p, size < old_bytes ? size : old_bytes);
    bmm__free(p, SIZE_MAX, 0, kind); /* not to list: the allocation may have let the span go as full */
    return moved;
}

/* A slot of the caller's own that is long enough, first: no client, nothing to look up. */
void *bmm__realloc_any(void *p, size_t size, unsigned kind)
{
    struct bmm__list_place place;
    uintptr_t index;
    if (BMM__UNLIKELY(!bmm__page_map_look((uintptr_t)p, &place)) || !bmm__list_is_mine(&place) ||
        !bmm__list_may_free(bmm__list_at(place), p, &index))
        return realloc_slow(p, size, kind);
    struct bmm__list *list = bmm__list_at(place);
    if (BMM__LIKELY(size <= list->slot_bytes && size >= list->slot_bytes / 2))
        return p;
    return realloc_elsewhere(list, p, size, kind);
}

void *bmm_malloc(size_t size)
{
    return bmm__alloc(size, BMM_KIND_BMM);
}

void *bmm_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return bmm__calloc(bytes, BMM_KIND_BMM);
}

void *bmm_realloc(void *p, size_t size)
{
    return bmm__realloc_any(p, size, BMM_KIND_BMM);
}

void bmm_free(void *p)
{
    bmm__free(p, SIZE_MAX, 0, BMM_KIND_BMM);
}

size_t bmm_usable_size(const void *p)
{
    return bmm__usable_size(p);
}

void *bmm_malloc_aligned(size_t align, size_t size)
{
    if (align < 16) {
        errno = EINVAL;
        return NULL;
    }
    return bmm__alloc_slow(size, align, false, BMM_KIND_BMM);
}

bool bmm_thread_heap_minimize(void)
{
    struct bmm__heap *heap = bmm__thread_heap_if_any();
    bool has_released = heap != NULL && bmm__heap_minimize(heap);
    return bmm__purge_all() || has_released;
}

void bmm_report_leaks_on_shutdown(bool on)
{
    bmm__process_start();
    bmm__client_report_leaks(on);
}
