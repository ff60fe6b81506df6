/* Frees of another thread's slots: pushed to the span's remote word (span.h), a few at a time.
 *
 *   free ─► outbox[hash of the span] ── full, or another span's slot came ──► one batch (batch.h) pushed to span.remote
 *
 * A heap's outbox holds slots of small size only, so that what a thread keeps back when it falls asleep stays little: at
 * most BMM__OUTBOX_COUNT spans of up to 256 KiB cannot go back. It is emptied when its thread looks at the clock and time has
 * gone on, and at each 2048th local free.
 *
 * Invariants: O1 the slots of an entry lie in its span, and a batch has room for them. O2 they count as live in their
 * span (P2) until they are pushed.
 */
#ifndef BMM_REMOTE_H
#define BMM_REMOTE_H

#include "core/heap.h"

/* The slot with the index, of a span that another heap owns. heap is the caller's; NULL: it has none, and the slot is pushed at once. */
void bmm__remote_free(struct bmm__heap *heap, struct bmm__span *span, uint32_t index);

/* Pushes what the heap's outbox holds. */
void bmm__remote_send_all(struct bmm__heap *heap);

/* The entry of an outbox where slots of the span would be. */
static inline struct bmm__outbox *bmm__remote_box(struct bmm__heap *heap, const struct bmm__span *span)
{
    return &heap->outbox[(uintptr_t)span / sizeof *span % BMM__OUTBOX_COUNT];
}

/* P3: gives the span's memory back if it is available and word, which the caller has just read or written, says that
 * others freed every live slot of it. True: it is gone. */
bool bmm__remote_try_claim(struct bmm__span *span, uint64_t word);

/* Whether available spans hold slots that others freed. If their owner frees the last ones, nobody notices at first (P3). */
enum bmm__remote_waits {
    BMM__REMOTE_WAITS_NOT,
    BMM__REMOTE_WAITS_SWEEP, /* that is not through yet */
    BMM__REMOTE_WAITS_OLD,   /* a sweep has looked at them */
    BMM__REMOTE_WAITS_NEW
};
extern uint32_t bmm__remote_waiting; /* enum bmm__remote_waits */

/* P3: claims spare spans and empty ones that nobody has noticed, count descriptors per call. True: the pass is through with
 * it, having looked at all, or, where is_all is false and the last sweeps found nothing, not yet again. Under the purge
 * lock. */
bool bmm__remote_sweep(unsigned count, bool is_all);

#endif
