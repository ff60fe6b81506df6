/* The fast paths, shared by the libc names, the C++ operators and the bmm_ calls; and the slow path behind each. */
#ifndef BMM_ENTRY_H
#define BMM_ENTRY_H

#include "core/assert.h"
#include "core/atomic.h"
#include "core/heap.h"
#include "core/page_map.h"

/* NULL with ENOMEM, or with EINVAL for an align that is no power of two. */
void *bmm__alloc_slow(size_t size, size_t align, bool is_zeroed, unsigned kind);
void bmm__free_slow(void *p, size_t given_size, size_t given_align, unsigned kind);
void *bmm__realloc_any(void *p, size_t size, unsigned kind);
size_t bmm__usable_size(const void *p);

static inline void *bmm__alloc(size_t size, unsigned kind)
{
    if (BMM__LIKELY(size <= BMM__DIRECT_BYTES_MAX)) {
        struct bmm__span *span = bmm__heap->direct[(size + 15) / 16];
        struct bmm__slot_link *slot = span->free;
        if (BMM__LIKELY(slot != NULL)) {
            span->free = slot->next;
            return slot;
        }
    }
    return bmm__alloc_slow(size, 16, false, kind);
}

static inline void bmm__free(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    struct bmm__span *span = bmm__page_map_find((uintptr_t)p);
    if (BMM__UNLIKELY(span == NULL) || BMM__UNLIKELY(bmm__load_relaxed(&span->owner) != (uintptr_t)bmm__heap)) {
        bmm__free_slow(p, given_size, given_align, kind);
        return;
    }
    struct bmm__slot_link *link = p;
    link->next = span->free;
    span->free = link;
    if (BMM__UNLIKELY(bmm__single_writer_decrement(&span->countdown)))
        bmm__heap_span_emptied(span);
}

#endif
