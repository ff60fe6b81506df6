/* The slow paths behind every public entry, and the bmm_ calls. */
#include "core/entry.h"

#include "core/client.h"
#include "core/os.h"
#include "core/process.h"
#include "core/remote.h"
#include "core/run.h"
#include "core/share.h"
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

/* No client, and the heap is neither fresh nor dead. */
static inline bool is_plain(const struct bmm__heap *heap)
{
    return heap->token == (uintptr_t)heap;
}

static __attribute__((noinline)) void *alloc_own(struct bmm__heap *heap, size_t size, size_t align, bool is_zeroed)
{
    unsigned class_index = bmm__slot_class(size == 0 ? 1 : size, align);
    if (BMM__UNLIKELY(class_index >= BMM__HEAP_CLASS_COUNT))
        return alloc_from_core(size, align, is_zeroed);
    struct bmm__span *span = heap->bins[class_index].current;
    void *slot = bmm__heap_may_take(heap, span) ? bmm__heap_take(heap, span) : bmm__heap_alloc(heap, class_index);
    if (BMM__UNLIKELY(slot == NULL))
        return alloc_from_core(size, align, is_zeroed);
    return is_zeroed ? memset(slot, 0, size) : slot;
}

void *bmm__alloc_slow(size_t size, size_t align, bool is_zeroed, unsigned kind)
{
    struct bmm__heap *heap = bmm__heap;
    if (align == 0 || (align & (align - 1)) != 0) {
        errno = EINVAL;
        return NULL;
    }
    align = align < 16 ? 16 : align;
    return is_plain(heap) ? alloc_own(heap, size, align, is_zeroed) : alloc_right(size, align, is_zeroed, kind);
}

void *bmm__calloc_other(size_t size, unsigned kind)
{
    struct bmm__heap *heap = bmm__heap;
    struct bmm__slot_link *slot;
    if (size - 1 < BMM__SLOT_BYTES_MAX && bmm__list_pop(heap, bmm__heap_distance(heap, size), &slot))
        return memset(slot, 0, size);
    return bmm__alloc_slow(size, 16, true, kind);
}

void *bmm__alloc_run(size_t size, size_t align, enum bmm__use use, unsigned kind)
{
    struct bmm__slot slot;
    int saved_errno = errno;
    bmm__process_start();
    if (bmm__process.client != NULL)
        return bmm__process.client->alloc_run(size, align, use, kind);
    bool is_done = bmm__core_alloc_run(size, align, use, &slot);
    errno = is_done ? saved_errno : ENOMEM;
    return is_done ? (void *)slot.start : NULL; /* NOLINT */
}

static __attribute__((noinline)) void *refill_own(struct bmm__heap *heap, size_t size)
{
    void *slot = bmm__heap_alloc(heap, bmm__heap_class(bmm__heap_distance(heap, size)));
    return BMM__LIKELY(slot != NULL) ? slot : alloc_from_core(size, 16, false);
}

void *bmm__alloc_refill(size_t size, unsigned kind)
{
    struct bmm__heap *heap = bmm__heap;
    if (size <= BMM__SLOT_BYTES_MAX && is_plain(heap))
        return refill_own(heap, size);
    return alloc_right(size, 16, false, kind);
}

_Noreturn void bmm__wrong_free(const void *p)
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
        bmm__wrong_free(p);
}

/* These with tail calls only, so that no register has to be saved, and a client finds its caller to be the program. */

static inline void free_by_client(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    if (BMM__LIKELY(bmm__process.client != NULL && p != NULL))
        bmm__process.client->free(p, given_size, given_align, kind);
    else
        free_to_core(p, given_size, given_align, kind);
}

static __attribute__((noinline)) void free_inside(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    struct bmm__span *span = bmm__page_map_find_inside((uintptr_t)p);
    uint32_t index;
    if (BMM__LIKELY(span != NULL && span->kind == BMM__SPAN_SLOTS &&
                    bmm__span_slot_at(span, (uintptr_t)p - span->start, &index)))
        bmm__heap_free(bmm__heap, span, p, index);
    else
        free_to_core(p, given_size, given_align, kind);
}

void bmm__free_slow(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    if (is_plain(bmm__heap))
        free_inside(p, given_size, given_align, kind);
    else
        free_by_client(p, given_size, given_align, kind);
}

void bmm__free_other(void *p, size_t given_size, size_t given_align, unsigned kind, const struct bmm__list *list)
{
    struct bmm__heap *heap = bmm__heap;
    if (BMM__UNLIKELY(!is_plain(heap)))
        free_by_client(p, given_size, given_align, kind);
    else if (BMM__UNLIKELY(!bmm__remote_try_add(heap, list, p)))
        free_inside(p, given_size, given_align, kind);
}

bool bmm__free_as(void *p, enum bmm__use use, unsigned kind)
{
    int saved_errno = errno;
    if (p == NULL)
        return true;
    bmm__process_start();
    if (bmm__process.client != NULL)
        return bmm__process.client->free_as(p, kind);
    bool is_done = bmm__run_is_start((uintptr_t)p, use) && bmm__core_free(p);
    errno = is_done ? saved_errno : EINVAL;
    return is_done;
}

static __attribute__((noinline)) size_t usable_otherwise(const void *p)
{
    struct bmm__slot slot;
    if (p == NULL)
        return 0;
    bmm__process_start(); /* or p is nobody's block */
    if (bmm__process.client != NULL)
        return bmm__process.client->usable_size(p);
    return bmm__core_find((uintptr_t)p, &slot) ? slot.bytes - ((uintptr_t)p - slot.start) : 0;
}

/* Some programs ask after every allocation and before every free. */
size_t bmm__usable_size(const void *p)
{
    const struct bmm__client *client = bmm__process.client;
    if (client != NULL)
        return p == NULL ? 0 : client->usable_size(p);
    const struct bmm__span *span = bmm__page_map_find_inside((uintptr_t)p);
    if (BMM__LIKELY(span != NULL && span->kind == BMM__SPAN_SLOTS &&
                    bmm__span_is_at_slot(span, (uintptr_t)p - span->start)))
        return span->list.slot_bytes;
    return usable_otherwise(p);
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

void bmm_report_leaks_on_shutdown(bool on)
{
    bmm__process_start();
    if (bmm__share_owner() != NULL)
        bmm__share_owner()->report_leaks(on);
    else
        bmm__client_report_leaks(on);
}
BMM__SHARE_OWN(bmm_report_leaks_on_shutdown);
