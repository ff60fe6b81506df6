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
    } else if (size <= BMM__SLOT_BYTES_MAX) {
        void *slot = bmm__span_pop(bmm__heap->shown[bmm__medium_class(size) - BMM__DIRECT_CLASS_COUNT]);
        if (BMM__LIKELY(slot != NULL))
            return slot;
    }
    return bmm__alloc_slow(size, 16, false, kind);
}

typedef long long bmm__vector __attribute__((vector_size(16), may_alias));

/* Zeroes count vectors, 1 … 64: in overlapping halves while that is few stores; quicker than libc's memset can choose. */
static inline void bmm__zero(void *start, size_t count)
{
    const bmm__vector zero = { 0, 0 };
    bmm__vector *first = start, *end = first + count;
    if (count <= 4) {
        first[0] = end[-1] = zero;
        if (count > 2)
            first[1] = end[-2] = zero;
        return;
    }
    first[0] = first[1] = first[2] = first[3] = zero;
    for (first += 4; end - first > 4; first += 4) {
        first[0] = first[1] = first[2] = first[3] = zero;
        __asm__("" : : : "memory"); /* lest the loop become a call of memset */
    }
    end[-1] = end[-2] = end[-3] = end[-4] = zero;
}

static inline void *bmm__calloc(size_t size, unsigned kind)
{
    if (BMM__LIKELY(size <= BMM__DIRECT_BYTES_MAX)) {
        size_t index = (size + 15) / 16;
        void *slot = bmm__span_pop(bmm__heap->direct[index]);
        if (BMM__LIKELY(slot != NULL)) {
            bmm__zero(slot, index | (index == 0));
            return slot;
        }
    }
    return bmm__alloc_slow(size, 16, true, kind);
}

static inline void bmm__free(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    struct bmm__span *span;
    if (BMM__LIKELY(bmm__page_map_look((uintptr_t)p, &span)) &&
        BMM__LIKELY(bmm__load_operand(&span->owner) == (uintptr_t)bmm__heap)) {
        struct bmm__slot_link *link = p;
        link->next = span->free;
        span->free = link;
        if (BMM__UNLIKELY(bmm__single_writer_decrement(&span->countdown)))
            bmm__heap_countdown_over(span);
        return;
    }
    bmm__free_slow(p, given_size, given_align, kind);
}

#endif
