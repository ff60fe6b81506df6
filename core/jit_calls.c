/* The calls of JIT heaps, which are the heaps of the copy of the library that serves the process (share.h). */
#include "core/process.h"
#include "core/share.h"

#include "brainmm/brainmm.h"

static const struct bmm__share_table *calls(void)
{
    bmm__process_start();
    return bmm__share_table();
}

struct bmm_jit_heap *bmm_jit_create(unsigned flags)
{
    return calls()->jit_create(flags);
}

bool bmm_jit_has_dual_views(const struct bmm_jit_heap *heap)
{
    return calls()->jit_has_dual_views(heap);
}

void *bmm_jit_get(struct bmm_jit_heap *heap, size_t size)
{
    return calls()->jit_get(heap, size);
}

void *bmm_jit_sync_get(struct bmm_jit_heap *heap, size_t size)
{
    return calls()->jit_sync_get(heap, size);
}

void *bmm_jit_code(const struct bmm_jit_heap *heap, const void *writable)
{
    return calls()->jit_code(heap, writable);
}

void *bmm_jit_data(const struct bmm_jit_heap *heap, const void *code)
{
    return calls()->jit_data(heap, code);
}

bool bmm_jit_publish(const struct bmm_jit_heap *heap, const void *writable, size_t size)
{
    return calls()->jit_publish(heap, writable, size);
}

bool bmm_jit_free(struct bmm_jit_heap *heap, void *p)
{
    return calls()->jit_free(heap, p);
}

bool bmm_jit_sync_free(struct bmm_jit_heap *heap, void *p)
{
    return calls()->jit_sync_free(heap, p);
}

void bmm_jit_clear(struct bmm_jit_heap *heap)
{
    calls()->jit_clear(heap);
}

void bmm_jit_destroy(struct bmm_jit_heap *heap)
{
    calls()->jit_destroy(heap);
}
