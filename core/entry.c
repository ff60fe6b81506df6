/* The slow paths behind every public entry, and the bmm_ calls. */
#include "core/entry.h"

#include "core/arena.h"
#include "core/client.h"
#include "core/os.h"
#include "core/process.h"

#include "brainmm/brainmm.h"
#include "brainmm/snapshot.h"

#include <errno.h>
#include <string.h>

void *bmm__alloc_slow(size_t size, size_t align, bool is_zeroed, unsigned kind)
{
    if (align == 0 || (align & (align - 1)) != 0) {
        errno = EINVAL;
        return NULL;
    }
    align = align < 16 ? 16 : align;
    bmm__process_start();
    const struct bmm__client *client = bmm__process.client;
    int saved_errno = errno;
    void *p = NULL;
    if (size <= PTRDIFF_MAX)
        p = client != NULL ? client->alloc(size, align, is_zeroed, kind) : bmm__core_alloc(size, align, is_zeroed);
    errno = p == NULL ? ENOMEM : saved_errno;
    return p;
}

/* Stops the program: going on would hand its own memory, or nobody's, to the next allocation. */
static _Noreturn void wrong_free(const void *p)
{
    char text[] = "brainmm: free or realloc of 0x0000000000000000, which is not the start of an allocated block\n";
    uintptr_t rest = (uintptr_t)p;
    for (char *digit = strchr(text, ',') - 1; rest != 0; rest >>= 4)
        *digit-- = "0123456789abcdef"[rest & 15];
    bmm__os_write_error(text, sizeof text - 1);
    bmm__os_abort();
}

static bool is_start(const struct bmm__span *span, uintptr_t address)
{
    if (span == NULL)
        return false;
    if (span->kind != BMM__SPAN_SLOTS)
        return address == span->start;
    return (address - span->start) % span->slot_bytes == 0 &&
           (address - span->start) / span->slot_bytes < span->slot_count;
}

void bmm__free_slow(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    if (p == NULL)
        return;
    bmm__process_start();
    if (bmm__process.client != NULL) {
        int saved_errno = errno;
        bmm__process.client->free(p, given_size, given_align, kind);
        errno = saved_errno;
        return;
    }
    if (!is_start(bmm__page_map_find((uintptr_t)p), (uintptr_t)p))
        wrong_free(p);
    bmm__core_free(p);
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

void *bmm__realloc_any(void *p, size_t size, unsigned kind)
{
    if (p == NULL)
        return bmm__alloc(size, kind);
    if (size == 0) {
        bmm__free(p, SIZE_MAX, 0, kind);
        return NULL;
    }
    const struct bmm__client *client = bmm__process.client;
    if (client != NULL) {
        void *moved = client->realloc(p, size, kind);
        if (moved == NULL)
            errno = ENOMEM;
        return moved;
    }
    const struct bmm__span *span = bmm__page_map_find((uintptr_t)p);
    if (!is_start(span, (uintptr_t)p))
        wrong_free(p);
    size_t old_bytes = span->kind == BMM__SPAN_SLOTS ? span->slot_bytes : span->span_bytes;
    if (size <= old_bytes && size >= old_bytes / 2)
        return p;
    size_t align = span->align_shift > 4 ? (size_t)1 << span->align_shift : 16;
    void *moved = bmm__core_remap(p, size);
    if (moved != NULL)
        return moved;
    moved = bmm__alloc_slow(size, align, false, kind);
    if (moved == NULL)
        return size <= old_bytes ? p : NULL;
    memcpy(moved, p, size < old_bytes ? size : old_bytes);
    bmm__free(p, SIZE_MAX, 0, kind);
    return moved;
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
    return bmm__alloc_slow(bytes, 16, true, BMM_KIND_BMM);
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
    return bmm__arena_trim() || has_released;
}

void bmm_report_leaks_on_shutdown(bool on)
{
    bmm__process_start();
    bmm__client_report_leaks(on);
}
