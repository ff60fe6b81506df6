/* Frees of another thread's slots: pushed to the span's remote word (span.h), a few at a time.
 *
 *   free ─► outbox[hash of the list it was found by] ── full, or another list's came ──► one batch (batch.h) pushed to span.remote
 *
 * Programs free now here, now there: with as many entries as there are spans in turn, batches become full. A heap's outbox
 * holds slots of small size only, of spans of few MiB together, so that what a thread keeps back when it falls asleep stays
 * little. It is emptied, some MiB that go back by it at a time, when its thread looks at the clock and time has gone on, and after 4096
 * local frees in a row.
 *
 * Invariants: O1 the slots of an entry lie in its span, and a batch has room for them. O2 they count as live in their
 * span (P2) until they are pushed. O3 posted and posted_bytes of a heap say which entries have slots, and of how much.
 */
#ifndef BMM_REMOTE_H
#define BMM_REMOTE_H

#include "core/assert.h"
#include "core/heap.h"

/* A slot of a span that another heap owns, with its index. heap is the caller's; NULL: it has none, and the slot is pushed at
 * once. */
void bmm__remote_free(struct bmm__heap *heap, struct bmm__span *span, void *slot, uint32_t index);

/* Pushes what the heap's outbox holds. */
void bmm__remote_send_all(struct bmm__heap *heap);
/* The same, but no more than what gives some MiB back: for calls that are to be short. */
void bmm__remote_send_due(struct bmm__heap *heap);

/* The entry of an outbox where slots are that were found by a list (page_map.h) of that key. */
static inline uint32_t bmm__remote_key(const struct bmm__list *list)
{
    return (uint32_t)((uintptr_t)list / BMM__LIST_STRIDE);
}
static inline struct bmm__outbox *bmm__remote_box(struct bmm__heap *heap, uint32_t key)
{
    return &heap->outbox[key % BMM__OUTBOX_COUNT];
}

/* The process may be copied at any moment, and others look (visit.c): until it is counted, the slot is not in the batch. */
static inline void bmm__remote_add(struct bmm__outbox *box, uint32_t index)
{
    uint16_t count = box->count;
    bmm__store_relaxed(&box->slots[count], (uint16_t)index);
    bmm__store_release(&box->count, (uint16_t)(count + 1));
}

/* The quickest way, of any address: it is that of a slot beside others in the outbox, whose batch it does not fill, and then it
 * is in there. */
static inline bool bmm__remote_try_add(struct bmm__heap *heap, const struct bmm__list *list, void *p)
{
    uint32_t key = bmm__remote_key(list);
    struct bmm__outbox *box = bmm__remote_box(heap, key);
    BMM__FORGET(box); /* lest it be computed again for each of its fields */
    uint32_t index;
    if (box->key != key || box->count >= box->room)
        return false;
    struct bmm__span *span = box->span;
    if (BMM__UNLIKELY(heap->watch != 0 || !bmm__span_slot_at(span, (uintptr_t)p - span->start, &index)))
        return false;
    bmm__slot_send(&span->list, p, index);
    bmm__remote_add(box, index);
    return true;
}

/* P3: gives the span's memory back if it is available and word, which the caller has just read or written, says that
 * others freed every live slot of it. True: it is gone. */
bool bmm__remote_try_claim(struct bmm__span *span, uint64_t word);

/* What a sweep may find. Spare spans and OPEN ones, which are no hurry; or available ones that hold slots that others freed: if their owner frees the
 * last ones, nobody notices at first (P3). */
enum bmm__remote_waits {
    BMM__REMOTE_WAITS_NOT,
    BMM__REMOTE_WAITS_SWEEP, /* that is not through yet */
    BMM__REMOTE_WAITS_SPARE,
    BMM__REMOTE_WAITS_OLD, /* a sweep has looked at them */
    BMM__REMOTE_WAITS_NEW
};
extern uint32_t bmm__remote_waiting BMM__HIDDEN; /* enum bmm__remote_waits */

/* A sweep shall come by for a spare span, or an OPEN one that others have freed all of, lest it stay with an owner that sleeps. */
void bmm__remote_tell_spare(void);

/* The owner of a CURRENT span that was OPEN has come back, and allocated nothing from it since: it is OPEN again (P7). */
void bmm__remote_open(struct bmm__span *span);

/* P3: claims spare spans and empty ones that nobody has noticed, looking at count descriptors, or up to one that it
 * claims. True: the pass is through with it, having looked at all, or, where is_all is false and the last sweeps found
 * nothing, not yet again. Under the purge lock. */
bool bmm__remote_sweep(unsigned count, bool is_all);

#endif
