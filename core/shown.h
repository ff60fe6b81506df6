/* Which list stands for a span: its own, or that of its class in the heap, which malloc finds without a look at the span (heap.h,
 * H1). Between begin and end of the owner's heap. */
#ifndef BMM_SHOWN_H
#define BMM_SHOWN_H

#include "core/assert.h"
#include "core/atomic.h"
#include "core/heap.h"
#include "core/window.h"

/* The list of a shown span of the class; NULL: none of it ever is. */
static inline struct bmm__list *bmm__shown_list_of(struct bmm__heap *heap, unsigned class_index)
{
    return class_index < BMM__CLASS_COUNT ? &heap->lists[class_index].list : NULL;
}

/* Has the window find the list for the span. */
static inline void bmm__shown_enter(const struct bmm__span *span, struct bmm__list *list)
{
    uintptr_t *entry = span->entries, distance = (uintptr_t)list - BMM__WINDOW_TABLE;
    if (entry == NULL)
        return;
    uintptr_t *end = entry + span->span_bytes / BMM__GRANULE;
    for (; (end - entry) % 4 != 0; entry++) /* the larger spans are of a multiple of four */
        bmm__store_relaxed(entry, distance);
    for (; entry != end; entry += 4) {
        bmm__store_relaxed(&entry[0], distance);
        bmm__store_relaxed(&entry[1], distance);
        bmm__store_relaxed(&entry[2], distance);
        bmm__store_relaxed(&entry[3], distance);
    }
}

/* Lets the fast path see the span. */
static inline void bmm__show(struct bmm__heap *heap, struct bmm__span *span)
{
    BMM_ASSERT(heap->is_busy);
    if (span->is_shown || (heap->token & 1) != 0 || span->class_index >= BMM__CLASS_COUNT)
        return;
    struct bmm__list *list = bmm__shown_list_of(heap, span->class_index);
    list->countdown = span->list.countdown;
    list->slot_bytes = span->list.slot_bytes;
    if (list->owner == 0) /* else others need not fetch it anew */
        bmm__store_relaxed(&list->owner, heap->token);
    bmm__list_stand_for(list, &span->list);
    bmm__store_relaxed(&span->is_shown, 1);
    bmm__shown_enter(span, list);
}

static inline void bmm__hide(struct bmm__span *span)
{
    if (!span->is_shown)
        return;
    BMM_ASSERT(span->heap->is_busy);
    struct bmm__list *list = bmm__shown_list_of(span->heap, span->class_index);
    bmm__store_relaxed(&span->list.countdown, list->countdown);
    bmm__list_stand_back(list, &span->list);
    bmm__signal_fence(); /* at any moment one of the two has the slots: the process may be copied, and the copy looks */
    bmm__store_relaxed(&span->is_shown, 0);
    bmm__signal_fence();
    bmm__list_clear(list);
    bmm__shown_enter(span, &span->list);
}

#endif
