/* A bin's list of available spans (heap.h): linked both ways, the next to be allocated from first. Between begin and end of the
 * owner's heap. */
#ifndef BMM_AVAILABLE_H
#define BMM_AVAILABLE_H

#include "core/atomic.h"
#include "core/heap.h"

static inline void bmm__available_link(struct bmm__heap *heap, struct bmm__span *before, struct bmm__span *span,
                                       struct bmm__span *next)
{
    struct bmm__bin *bin = &heap->bins[span->class_index];
    bmm__store_relaxed(&span->next, next); /* others may still look at it (P4) */
    span->prev = before;
    *(before != NULL ? &before->next : &bin->first) = span;
    *(next != NULL ? &next->prev : &bin->last) = span;
    bmm__store_relaxed(&span->listed, (uint8_t)BMM__LISTED);
    heap->align_sets |= (uint16_t)(1u << span->class_index / BMM__CLASS_COUNT);
}

/* What the owner frees into comes last: it gathers more free slots until its turn; only a spare one comes after it. */
static inline void bmm__available_append(struct bmm__heap *heap, struct bmm__span *span)
{
    struct bmm__span *last = heap->bins[span->class_index].last;
    bool is_spare = last != NULL && last->listed == BMM__LISTED_SPARE;
    bmm__available_link(heap, is_spare ? last->prev : last, span, is_spare ? last : NULL);
}

/* What others have freed into comes first: they go on with other spans, and what they freed last is likeliest to be in a
 * cache. */
static inline void bmm__available_prepend(struct bmm__heap *heap, struct bmm__span *span)
{
    bmm__available_link(heap, NULL, span, heap->bins[span->class_index].first);
}

static inline void bmm__available_remove(struct bmm__heap *heap, struct bmm__span *span)
{
    struct bmm__bin *bin = &heap->bins[span->class_index];
    *(span->prev != NULL ? &span->prev->next : &bin->first) = span->next;
    *(span->next != NULL ? &span->next->prev : &bin->last) = span->prev;
    bmm__store_relaxed(&span->listed, (uint8_t)BMM__LISTED_NOT);
}

/* The live count goes from countdown + bias to countdown alone (P2). */
static inline void bmm__available_set_live(struct bmm__span *span, uint32_t live)
{
    bmm__store_relaxed(&span->list.countdown, live);
    bmm__store_release(&span->bias, (uint16_t)0); /* release: who sees it sees countdown */
}

#endif
