/* The calls of heaps that the program makes; they are those of the copy of the library that serves the process (share.h). */
#include "core/heap_object.h"
#include "core/process.h"
#include "core/share.h"

#include "brainmm/brainmm.h"
#include "brainmm/snapshot.h"

#include <errno.h>

static const struct bmm__share_table *calls(void)
{
    bmm__process_start();
    return bmm__share_table();
}

struct bmm_heap *bmm_heap_create(void)
{
    return calls()->object_create();
}

static void *alloc(struct bmm_heap *heap, size_t size, size_t align, bool is_zeroed)
{
    return calls()->object_alloc(heap, size, align, is_zeroed, BMM_KIND_BMM);
}

void *bmm_heap_malloc(struct bmm_heap *heap, size_t size)
{
    return alloc(heap, size, 16, false);
}

void *bmm_heap_calloc(struct bmm_heap *heap, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return alloc(heap, bytes, 16, true);
}

void *bmm_heap_malloc_aligned(struct bmm_heap *heap, size_t align, size_t size)
{
    if (align < 16 || (align & (align - 1)) != 0) {
        errno = EINVAL;
        return NULL;
    }
    return alloc(heap, size, align, false);
}

bool bmm_heap_owns(const struct bmm_heap *heap, const void *p)
{
    struct bmm_memory_options options;
    return bmm_memory_options(p, &options) && calls()->object_owns(heap, p);
}

void bmm_heap_clear(struct bmm_heap *heap)
{
    calls()->object_clear(heap);
}

void bmm_heap_destroy(struct bmm_heap *heap)
{
    calls()->object_destroy(heap);
}
