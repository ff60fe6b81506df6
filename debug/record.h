/* Side tables: what is known of a block, at its slot's index, beside the heap.
 *
 *   span ──► side ──┬─► record record record …   private, authoritative, copied by fork (24 bytes a slot)
 *                   └─► mirror mirror mirror …   in the recorder, only ever written     (16 bytes a slot)
 *
 * Invariants
 *  B1  state is changed by whoever claimed the record (LIVE, QUARANTINED or orphan → BUSY by CAS, or LIVE → FREE: alone.h), or by
 *      the thread that has just got the slot from the core. Everything else in a record is written before the state that publishes it
 *      (release) and read after the state (acquire).
 *  B2  A BUSY slot is never given back to the core, so its span cannot end; the time is short.
 *  B3  A mirror is written only while side->epoch is the recorder's: an inherited one belongs to the parent.
 *  B4  The memory of a side is never given back; a table that is reused was zeroed before it was published.
 *  B5  A record outlives the block: what it says of the last block stays until the slot's next birth.
 */
#ifndef BMM_RECORD_H
#define BMM_RECORD_H

#include "alone.h"
#include "recorder.h"

#include "brainmm/snapshot.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* States that no reader of the snapshot sees: someone is at work on the slot, namely a thread of the process with that
 * number of forks behind it, modulo 128. In a forked child those of its parent are *orphans*: nobody is at work. */
enum { BMM__SLOT_BUSY = 0x80 };
extern uint8_t bmm__record_fork_count BMM__HIDDEN;

static inline uint8_t bmm__record_busy(void)
{
    return BMM__SLOT_BUSY | (bmm__record_fork_count & 0x7f);
}

static inline bool bmm__record_is_orphan(uint8_t state)
{
    return (state & BMM__SLOT_BUSY) != 0 && state != bmm__record_busy();
}

struct bmm__record {
    union {
        struct {
            uint32_t alloc_stack;
            uint32_t free_stack : 31; /* of the last free, 0: none known; an id has no more bits (stack_depot.c) */
            uint32_t is_expected : 1; /* the program does not call it a leak: expect.h */
            uint32_t size_low;        /* requested bytes */
            uint16_t size_high;
            uint16_t thread;    /* index */
            uint32_t count;     /* the allocating thread's allocation count */
            uint8_t kind;       /* enum bmm_alloc_kind */
            uint8_t align_log2; /* as asked, at least 4 */
            uint8_t mode;       /* enum bmm_mode it was born under: says where in the slot the block begins */
            uint8_t state;      /* enum bmm_slot_state, or BUSY (B1) */
        };
        uint64_t words[3]; /* the same, as a birth writes it */
    };
};
#define BMM__RECORD_THREAD_SHIFT 48 /* in words[1], above the size */
/* In words[2], above the count. */
#define BMM__RECORD_STATE_SHIFT 56
#define BMM__RECORD_STATE(state) ((uint64_t)(state) << BMM__RECORD_STATE_SHIFT)
#define BMM__RECORD_BIRTH(kind, align_log2, mode) \
    ((uint64_t)(kind) << 32 | (uint64_t)(align_log2) << 40 | (uint64_t)(mode) << 48)
#define BMM__RECORD_KIND(word) ((unsigned)((word) >> 32 & 0xff))
_Static_assert(offsetof(struct bmm__record, state) == 16 + BMM__RECORD_STATE_SHIFT / 8 &&
                   offsetof(struct bmm__record, thread) == 8 + BMM__RECORD_THREAD_SHIFT / 8 &&
                   offsetof(struct bmm__record, kind) == 16 + 4 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "words are of a little-endian machine");
_Static_assert(sizeof(struct bmm__record) == 24, "24 private bytes a slot are promised");
_Static_assert(sizeof(struct bmm_snapshot_mirror) == 16, "16 mirror bytes a slot are promised");

struct bmm__side {
    struct bmm_snapshot_mirror *mirrors; /* NULL: none to be had */
    struct bmm_snapshot_span *entry;     /* in the recorder's span table; NULL: none */
    uint32_t epoch;                      /* of mirrors and entry; release after them */
    uint32_t slot_count;
    struct bmm__side *next;       /* in a list of ended ones */
    struct bmm__record records[]; /* no pointer to them: one miss less on the way to a record */
};

static inline uint64_t bmm__record_size(const struct bmm__record *record)
{
    return (uint64_t)record->size_high << 32 | record->size_low;
}

/* LIVE, QUARANTINED or an orphan → BUSY. False: it was not in that state any more. */
static inline bool bmm__record_claim(struct bmm__record *record, uint8_t state)
{
    bmm__alone_end();
    return bmm__cas_acq_rel(&record->state, &state, bmm__record_busy());
}

/* The state, after waiting for a BUSY one to become something. Orphans stay what they are. BUSY: whoever is at work
 * does not come to an end, most likely because it is this very thread, which a signal handler interrupted; what the
 * slot is cannot be said, so nothing may be done to it, and nothing may be said against who asks. */
uint8_t bmm__record_wait(const struct bmm__record *record);
/* The same of many records together: so many naps of a millisecond at most, which are counted down. */
#define BMM__RECORD_WALK_NAPS 200u
uint8_t bmm__record_wait_within(const struct bmm__record *record, unsigned *naps);
static inline uint8_t bmm__record_settled_state(const struct bmm__record *record)
{
    uint8_t state = bmm__load_acquire(&record->state);
    return BMM__UNLIKELY(state == bmm__record_busy()) ? bmm__record_wait(record) : state;
}

static inline uint8_t bmm__record_state_within(const struct bmm__record *record, unsigned *naps)
{
    uint8_t state = bmm__load_acquire(&record->state);
    return BMM__UNLIKELY(state == bmm__record_busy()) ? bmm__record_wait_within(record, naps) : state;
}

/* The span's side, NULL if it has none. */
static inline struct bmm__side *bmm__side_of(struct bmm__span *span)
{
    return bmm__load_acquire((struct bmm__side **)(void *)bmm__core_span_side(span));
}

/* The side of the slot's span with mirrors of this epoch, made if needed. NULL: out of memory. Only in a settled process. */
struct bmm__side *bmm__side_make_now(struct bmm__span *span);
static inline struct bmm__side *bmm__side_make(const struct bmm__slot *slot)
{
    struct bmm__side *side = slot->side;
    if (BMM__LIKELY(side != NULL && bmm__load_acquire(&side->epoch) == bmm__recorder_epoch))
        return side;
    return bmm__side_make_now(slot->span);
}

/* Mirrors a record by its words, which is the side's at index, where the side is known to be of this epoch; state as the
 * snapshot knows it. Nothing where there is no mirror for it. Words, not the record: who has just written a part of a word
 * had to wait for it otherwise. */
static inline void bmm__record_mirror_now(const struct bmm__side *side, uint32_t index, uint32_t stack,
                                          uint64_t size_and_thread, uint64_t count_and_birth, uint32_t state)
{
    if (BMM__UNLIKELY(side->mirrors == NULL))
        return;
    struct bmm_snapshot_mirror *mirror = &side->mirrors[index];
    uint64_t detail = (uint64_t)state | BMM__RECORD_KIND(count_and_birth) << 3 | (size_and_thread >> 32 & 0xfff) << 8 |
                      size_and_thread >> BMM__RECORD_THREAD_SHIFT << 20 |
                      count_and_birth << 44 >> 8; /* as in snapshot.h */
    detail |= (uint64_t)bmm_mirror_check(stack, (uint32_t)size_and_thread, detail) << 56;
    uint64_t stack_and_size = stack | size_and_thread << 32;
    memcpy(mirror, &stack_and_size,
           sizeof stack_and_size); /* at once: as two, they are collected in a vector register */
    mirror->detail = detail;
}
/* The same, of a record that is there, with its kind. */
static inline void bmm__record_mirror_state(const struct bmm__side *side, uint32_t index, uint32_t kind, uint32_t state)
{
    if (BMM__LIKELY(side->mirrors != NULL))
        *(unsigned char *)&side->mirrors[index].detail = (unsigned char)(state | kind << 3); /* its lowest byte */
}
_Static_assert(offsetof(struct bmm_snapshot_mirror, stack) == 0 && offsetof(struct bmm_snapshot_mirror, size) == 4,
               "stack and size are one word");

/* Epoch before mirrors: the other way round another thread's rebinding could hand us the parent's. */
static inline bool bmm__record_may_mirror(const struct bmm__side *side)
{
    return BMM__LIKELY(bmm__load_acquire(&side->epoch) == bmm__recorder_epoch);
}

static inline void bmm__record_mirror(const struct bmm__side *side, uint32_t index, const struct bmm__record *record,
                                      uint32_t state)
{
    if (bmm__record_may_mirror(side))
        bmm__record_mirror_now(side, index, record->alloc_stack, record->words[1], record->words[2], state);
}

/* The client's span_end: no lock, so that core may call it under its own. */
void bmm__side_end(struct bmm__span *span, void *side);

void bmm__record_fork_child(void); /* when the child settles */
void bmm__record_orphan_all(void); /* at once, in a forked child: who was at work is gone */

#endif
