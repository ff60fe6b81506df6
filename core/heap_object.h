/* Heaps that the program makes: whatever is allocated from one can be freed alone, as any block, or all at once.
 *
 *   object ─┬─ heap ─► spans of slots, as a thread's       (span->use BMM__USE_HEAP, span->heap ─► heap ─► object)
 *           ├─ spans: every one of them, for the end       an array: entries may be stale, and double
 *           └─ large ─► span ─► span ─► …                   of one larger block each
 *
 * No thread's heap is such a heap, so every free is that of another thread: a push to the remote word, at once and not by
 * an outbox, so that nobody holds a slot of a span that is gone when the object is cleared. Allocations take the lock.
 *
 * Invariants
 *  O1  A descriptor is never used for anything else, nor is its heap: the lock is in the registry for ever.
 *  O2  Every open span of the heap is in spans; an entry is believed if the span says that it is this heap's.
 *  O3  large, and the links of its spans, are changed under lock.
 */
#ifndef BMM_HEAP_OBJECT_H
#define BMM_HEAP_OBJECT_H

#include "core/client.h"
#include "core/heap.h"
#include "core/lock.h"

#define BMM__OBJECT_FIRST_SPANS 16

struct bmm_heap {
    struct bmm__lock lock;
    struct bmm__heap *heap;
    struct bmm__span **spans; /* first_spans, or memory of its own; NULL in the pool, if there are none */
    uint32_t span_count, span_capacity;
    struct bmm__span *large;
    struct bmm_heap *next; /* in the pool, under its lock: heap_object_pool.h */
    struct bmm__span *first_spans[BMM__OBJECT_FIRST_SPANS];
};

/* The calls of brainmm.h (heap_object_calls.c), of this copy's objects. */
struct bmm_heap *bmm__object_create(void);
/* NULL with ENOMEM, or with EINVAL for an align that is no power of two. */
void *bmm__object_alloc(struct bmm_heap *object, size_t size, size_t align, bool is_zeroed);
void bmm__object_clear(struct bmm_heap *object);
void bmm__object_destroy(struct bmm_heap *object);
bool bmm__object_owns(const struct bmm_heap *object, const void *p);

/* Whether the block's span is an object's, and not a thread's, or nobody's. */
static inline bool bmm__object_has(const struct bmm__span *span)
{
    return (bmm__load_acquire(&span->use) & BMM__SPAN_USE) == BMM__USE_HEAP;
}

/* Which one's; NULL: none's. */
static inline struct bmm_heap *bmm__object_of(const struct bmm__span *span)
{
    const struct bmm__heap *heap = bmm__object_has(span) ? bmm__load_acquire(&span->heap) : NULL;
    return heap == NULL ? NULL : heap->object; /* NULL: it is not yet entered (add_large) */
}

/* A span of slots is open: O2. False: no memory to remember it. Under lock. */
bool bmm__object_add_span(struct bmm_heap *object, struct bmm__span *span);
/* The owner has let a claimed span go, which is no longer the heap's to close. Under lock. */
void bmm__object_drop_span(struct bmm_heap *object, const struct bmm__span *span);
/* A span of one block is about to be closed. */
void bmm__object_forget(struct bmm__span *span);

#endif
