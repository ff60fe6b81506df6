/* Side tables: what is known of a block, at its slot's index, beside the heap.
 *
 *   span ──► side ──┬─► record record record …   private, authoritative, copied by fork (32 bytes a slot)
 *                   └─► mirror mirror mirror …   in the recorder, only ever written     (16 bytes a slot)
 *
 * Invariants
 *  B1  state is changed by whoever claimed the record (LIVE, QUARANTINED or orphan → BUSY by CAS), or by the thread that has
 *      just got the slot from the core. Everything else in a record is written before the state that publishes it
 *      (release) and read after the state (acquire).
 *  B2  A BUSY slot is never given back to the core, so its span cannot end; the time is short.
 *  B3  A mirror is written only while side->epoch is the recorder's: an inherited one belongs to the parent.
 *  B4  The memory of a side is never given back; a table that is reused was zeroed before it was published.
 *  B5  A record outlives the block: what it says of the last block stays until the slot's next birth.
 */
#ifndef BMM_RECORD_H
#define BMM_RECORD_H

#include "recorder.h"

#include "brainmm/snapshot.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* States that no reader of the snapshot sees: someone is at work on the slot, namely a thread of the process with that
 * number of forks behind it, modulo 128. In a forked child those of its parent are *orphans*: nobody is at work. */
enum { BMM__SLOT_BUSY = 0x80 };
extern uint8_t bmm__record_fork_count;

static inline uint8_t bmm__record_busy(void)
{
    return BMM__SLOT_BUSY | (bmm__record_fork_count & 0x7f);
}

static inline bool bmm__record_is_orphan(uint8_t state)
{
    return (state & BMM__SLOT_BUSY) != 0 && state != bmm__record_busy();
}

struct bmm__record {
    uint32_t alloc_stack;
    uint32_t free_stack; /* of the last free, 0: none known */
    uint32_t size_low;   /* requested bytes */
    uint16_t size_high;
    uint16_t free_thread;
    uint32_t count;     /* the allocating thread's allocation count */
    uint32_t time_ms;   /* of the allocation, coarse, since the recorder's start */
    uint16_t thread;    /* index */
    uint8_t kind;       /* enum bmm_alloc_kind */
    uint8_t align_log2; /* as asked, at least 4 */
    uint8_t mode;       /* enum bmm_mode it was born under: says where in the slot the block begins */
    uint8_t state;      /* enum bmm_slot_state, or BUSY (B1) */
    uint16_t reserved;
};
_Static_assert(sizeof(struct bmm__record) == 32, "32 private bytes a slot are promised");
_Static_assert(sizeof(struct bmm_snapshot_mirror) == 16, "16 mirror bytes a slot are promised");

struct bmm__side {
    struct bmm__record *records;
    struct bmm_snapshot_mirror *mirrors; /* NULL: none to be had */
    struct bmm_snapshot_span *entry;     /* in the recorder's span table; NULL: none */
    uint32_t epoch;                      /* of mirrors and entry; release after them */
    uint32_t slot_count;
    struct bmm__side *next; /* in a list of ended ones */
};

static inline uint64_t bmm__record_size(const struct bmm__record *record)
{
    return (uint64_t)record->size_high << 32 | record->size_low;
}

static inline void bmm__record_set_size(struct bmm__record *record, uint64_t size)
{
    record->size_low = (uint32_t)size;
    record->size_high = (uint16_t)(size >> 32);
}

/* LIVE, QUARANTINED or an orphan → BUSY. False: it was not in that state any more. */
static inline bool bmm__record_claim(struct bmm__record *record, uint8_t state)
{
    return bmm__cas_acq_rel(&record->state, &state, bmm__record_busy());
}

/* The state, after waiting for a BUSY one to become something. Orphans stay what they are. BUSY: whoever is at work
 * does not come to an end, most likely because it is this very thread, which a signal handler interrupted; what the
 * slot is cannot be said, so nothing may be done to it, and nothing may be said against who asks. */
uint8_t bmm__record_wait(const struct bmm__record *record);
static inline uint8_t bmm__record_settled_state(const struct bmm__record *record)
{
    uint8_t state = bmm__load_acquire(&record->state);
    return BMM__UNLIKELY(state == bmm__record_busy()) ? bmm__record_wait(record) : state;
}

/* The span's side, NULL if it has none. */
static inline struct bmm__side *bmm__side_of(struct bmm__span *span)
{
    return bmm__load_acquire((struct bmm__side **)(void *)bmm__core_span_side(span));
}

/* The span's side with mirrors of this epoch, made if needed. NULL: out of memory. Only in a settled process. */
struct bmm__side *bmm__side_make_now(struct bmm__span *span);
static inline struct bmm__side *bmm__side_make(struct bmm__span *span)
{
    struct bmm__side *side = bmm__side_of(span);
    if (BMM__LIKELY(side != NULL && bmm__load_acquire(&side->epoch) == bmm__recorder_epoch))
        return side;
    return bmm__side_make_now(span);
}

/* Mirrors the record; state as the snapshot knows it. Nothing where this process has no mirror for it. */
static inline void bmm__record_mirror(struct bmm__side *side, uint32_t index, uint32_t state)
{
    /* Epoch before mirrors: the other way round another thread's rebinding could hand us the parent's. */
    if (bmm__load_acquire(&side->epoch) != bmm__recorder_epoch || side->mirrors == NULL)
        return;
    const struct bmm__record *record = &side->records[index];
    struct bmm_snapshot_mirror *mirror = &side->mirrors[index];
    uint64_t detail = (uint64_t)state | (uint64_t)record->kind << 3 | (uint64_t)(record->size_high & 0xfffu) << 8 |
                      (uint64_t)record->thread << 20 | (uint64_t)(record->count & 0xfffffu) << 36;
    detail |= (uint64_t)bmm_mirror_check(record->alloc_stack, record->size_low, detail) << 56;
    mirror->stack = record->alloc_stack;
    mirror->size = record->size_low;
    mirror->detail = detail;
}

/* The client's span_end: no lock, so that core may call it under its own. */
void bmm__side_end(struct bmm__span *span, void *side);

void bmm__record_fork_child(void); /* when the child settles */
void bmm__record_orphan_all(void); /* at once, in a forked child: who was at work is gone */

#endif
