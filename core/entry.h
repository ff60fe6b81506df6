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

/* A slot of the span, NULL if none is free. */
static inline void *bmm__span_pop(struct bmm__span *span)
{
    struct bmm__slot_link *slot = span->free;
    if (BMM__LIKELY(slot != NULL))
        span->free = slot->next;
    return slot;
}

static inline void *bmm__alloc(size_t size, unsigned kind)
{
    if (BMM__LIKELY(size <= BMM__DIRECT_BYTES_MAX)) {
        void *slot = bmm__span_pop(bmm__heap->direct[(size + 15) / 16]);
        if (BMM__LIKELY(slot != NULL))
            return slot;
    }
    return bmm__alloc_slow(size, 16, false, kind);
}

static inline void bmm__free(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    uintptr_t start = bmm__window.start; /* once: the table is there, too */
    uintptr_t index = ((uintptr_t)p - start) >> BMM__GRANULE_SHIFT;
    if (BMM__LIKELY(index < bmm__load_acquire(&bmm__window.granule_count))) { /* acquire: see bmm__page_map_look */
        struct bmm__span *span = bmm__load_relaxed((struct bmm__span **)start + index); /* NOLINT */
        if (BMM__LIKELY(bmm__load_relaxed(&span->owner) == (uintptr_t)bmm__heap)) {
            struct bmm__slot_link *link = p;
            link->next = span->free;
            span->free = link;
            if (BMM__UNLIKELY(bmm__single_writer_decrement(&span->countdown)))
                bmm__heap_countdown_over(span);
            return;
        }
    }
    bmm__free_slow(p, given_size, given_align, kind);
}

#endif
