/* Where the owner of a span of slots gets free ones for its list: those that were never used, and those that others freed (remote), which
 * are taken over all at once and then wait, in batches, as their first slots have them written (slot.h). Between begin and end of
 * the owner's heap; list is the one that stands for the span now. */
#ifndef BMM_REFILL_H
#define BMM_REFILL_H

#include "core/assert.h"
#include "core/atomic.h"
#include "core/heap.h"

/* The remote word of a span with nothing on its list. */
static inline uint64_t bmm__refill_empty_word(const struct bmm__span *span, unsigned state)
{
    return (uint64_t)span->epoch << 32 | state;
}

/* Empties the remote list and returns the word that was there (P5). */
static inline uint64_t bmm__refill_take(struct bmm__span *span, unsigned state)
{
    span->epoch++;
    return bmm__exchange_acq_rel(&span->remote, bmm__refill_empty_word(span, state));
}

/* What others freed waits from now on; nothing else does. */
static inline void bmm__refill_await(struct bmm__span *span, uint64_t taken)
{
    BMM_ASSERT(span->waiting == 0);
    bmm__store_relaxed(&span->waiting_count, (uint16_t)BMM__REMOTE_COUNT(taken));
    bmm__store_relaxed(&span->waiting, (uint16_t)BMM__REMOTE_HEAD(taken));
}

/* Puts the slots of the first batch that waits on the list. */
void bmm__refill_splice(struct bmm__span *span, struct bmm__list *list);
/* The same for all batches. Returns how many slots they had. */
uint32_t bmm__refill_splice_all(struct bmm__span *span, struct bmm__list *list);

#define BMM__EXTEND_BYTES 4096u

/* count slots of a fresh span, from the one with the index on, come into use: gives them memory a step ahead. */
void bmm__refill_populate(const struct bmm__span *span, uint32_t index, uint32_t count);

/* Puts slots that were never used on the free list: about an OS page of them, so that memory is touched in order. There are
 * some. */
static inline void bmm__refill_extend(struct bmm__span *span, struct bmm__list *list)
{
    uint32_t index = span->extended;
    uint32_t count = bmm__list_new_count(BMM__EXTEND_BYTES / span->list.slot_bytes, span->slot_count - index);
    if ((span->use & BMM__SPAN_IS_FRESH) != 0 && !bmm__load_relaxed(&bmm__heap_has_company))
        bmm__refill_populate(span, index, count);
    bmm__list_put_new(list, span->start + (uintptr_t)index * span->list.slot_bytes, index, count);
    bmm__store_relaxed(&span->extended, (uint16_t)(index + count));
}

#endif
