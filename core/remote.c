#include "core/remote.h"

#include "core/atomic.h"
#include "core/heap_object.h"
#include "core/page_map.h"
#include "core/purge.h"
#include "core/secure_span.h"

#include <string.h>

#define SLOT_BYTES_MAX 8192u        /* of slots that wait in an outbox */
#define POSTED_BYTES_MAX (8u << 20) /* of the spans that they are of */
#define CLOSED_BYTES_MAX \
    ((size_t)2 << 20)      /* of those that end by one call: what is in excess then goes back by few requests */
#define BATCH_BYTES 32768u /* and of those of one span */

#define PASSES_SHIFT_SPARE 1u /* if spare spans wait */
#define PASSES_SHIFT_NEW 2u   /* log2 of how many passes a sweep may be put off, if some of the frees are new */
#define PASSES_SHIFT_OLD 5u

uint32_t bmm__remote_waiting;

static uint64_t claimed_count; /* by sweeps; under the purge lock */
static bool is_spare_told;     /* since the last sweep began */

/* seq_cst, as the change of a remote word before it, and the sweep's exchange and load: else both might miss the other's
 * store. */
static void tell(enum bmm__remote_waits waits)
{
    uint32_t found = bmm__load_seq_cst(&bmm__remote_waiting);
    while (found < (uint32_t)waits && !bmm__cas_weak_seq_cst(&bmm__remote_waiting, &found, (uint32_t)waits))
        ;
}

void bmm__remote_tell_spare(void)
{
    bmm__store_relaxed(&is_spare_told, true);
    tell(BMM__REMOTE_WAITS_SPARE);
}

/* The caller has seen that no slot is live while this was the span's word. */
static bool claim(struct bmm__span *span, uint64_t word)
{
    uint64_t seen = word;
    if (!bmm__cas_acq_rel(&span->remote, &seen, (uint64_t)BMM__REMOTE_CLAIMED))
        return false;
    bmm__secure_receive_all(span, word);
    if (BMM__REMOTE_STATE(word) == BMM__REMOTE_CURRENT)
        bmm__secure_receive_all(span, (uint64_t)span->waiting << 16 | (uint64_t)span->waiting_count << 2);
    bmm__span_close(span, true);
    /* release: who sees it sees that the memory is gone */
    if (BMM__REMOTE_STATE(bmm__or_acq_rel(&span->remote, BMM__REMOTE_DONE)) != BMM__REMOTE_CLAIMED)
        bmm__span_free(span); /* the owner has passed meanwhile */
    return true;
}

/* Whether others have freed all that was ever allocated of a CURRENT span (P7). */
static bool has_all(struct bmm__span *span, uint64_t word)
{
    return bmm__load_acquire(&span->listed) == BMM__LISTED_OPEN &&
           BMM__REMOTE_COUNT(word) + bmm__load_relaxed(&span->waiting_count) == bmm__load_relaxed(&span->extended);
}

void bmm__remote_open(struct bmm__span *span)
{
    bmm__store_release(&span->listed, (uint8_t)BMM__LISTED_OPEN); /* release: who sees it sees what is in use */
    /* Who has pushed before could not know; who does later knows. */
    uint64_t word = bmm__or_acq_rel(&span->remote, (uint64_t)0);
    if (BMM__REMOTE_STATE(word) == BMM__REMOTE_CURRENT && has_all(span, word))
        bmm__remote_tell_spare();
}

/* Only by a sweep: its owner may be about to allocate from it. */
static bool try_claim_current(struct bmm__span *span, uint64_t word, enum bmm__remote_waits waits)
{
    if (waits == BMM__REMOTE_WAITS_OLD)
        return claim(span, word);
    bmm__remote_tell_spare();
    return false;
}

static bool try_claim(struct bmm__span *span, uint64_t word, enum bmm__remote_waits waits)
{
    if (BMM__REMOTE_STATE(word) == BMM__REMOTE_CURRENT)
        return has_all(span, word) && try_claim_current(span, word, waits);
    if (BMM__REMOTE_STATE(word) != BMM__REMOTE_OWNED)
        return false;
    if (BMM__REMOTE_COUNT(word) == 0)
        return bmm__load_acquire(&span->listed) == BMM__LISTED_SPARE && claim(span, word);
    uint32_t bias = bmm__load_acquire(&span->bias); /* before countdown: its owner writes them the other way round */
    /* acquire: what its owner freed last is written when the memory goes back */
    if (bmm__load_acquire(&span->list.countdown) + bias == BMM__REMOTE_COUNT(word) && claim(span, word))
        return true;
    tell(waits);
    return false;
}

bool bmm__remote_try_claim(struct bmm__span *span, uint64_t word)
{
    return try_claim(span, word, BMM__REMOTE_WAITS_NEW);
}

/* Sweeps that find nothing come at ever greater distances: each looks at all there is. */
static bool is_put_off(bool is_all)
{
    static unsigned fruitless, passed_by; /* in a row; passes since the last one */
    static uint64_t claimed_before;
    unsigned shift =
        bmm__load_relaxed(&bmm__remote_waiting) == BMM__REMOTE_WAITS_NEW ? PASSES_SHIFT_NEW : PASSES_SHIFT_OLD;
    if (bmm__load_relaxed(&is_spare_told))
        shift = PASSES_SHIFT_SPARE;
    if (claimed_count != claimed_before)
        fruitless = 0;
    claimed_before = claimed_count;
    shift = fruitless < shift ? fruitless : shift;
    if (!is_all && ++passed_by < 1u << shift)
        return true;
    passed_by = 0;
    fruitless++;
    bmm__store_relaxed(&is_spare_told, false);
    return false;
}

bool bmm__remote_sweep(unsigned count, bool is_all)
{
    static struct bmm__span *cursor; /* descriptors are for ever (P4) */
    struct bmm__span *span = cursor;
    if (span == NULL) {
        if (is_put_off(is_all))
            return true;
        span = bmm__span_first();
        bmm__exchange_seq_cst(&bmm__remote_waiting, 0u); /* before the words are read: pushes come after, or are seen */
    }
    bool has_claimed = false;
    for (; span != NULL && count != 0 && !has_claimed; span = span->all_next, count--) {
        uint64_t word = bmm__load_seq_cst(&span->remote);
        has_claimed = bmm__load_acquire(&span->kind) == BMM__SPAN_SLOTS && try_claim(span, word, BMM__REMOTE_WAITS_OLD);
    }
    claimed_count += has_claimed;
    cursor = span;
    if (span != NULL) {
        tell(BMM__REMOTE_WAITS_SWEEP); /* lest the rest be forgotten */
        return false;
    }
    uint32_t found = BMM__REMOTE_WAITS_SWEEP;
    bmm__cas_acq_rel(&bmm__remote_waiting, &found, (uint32_t)BMM__REMOTE_WAITS_NOT);
    return true;
}

static void push_ready(struct bmm__span *span)
{
    struct bmm__span **ready = &span->heap->ready, *first = bmm__load_relaxed(ready);
    do
        bmm__store_relaxed(&span->next, first);
    while (!bmm__cas_weak_acq_rel(ready, &first, span));
}

/* A batch of the slot with the index and of others, which are written in it. Returns the word that it made. */
static uint64_t publish(struct bmm__span *span, uint32_t index, uint32_t other_count)
{
    struct bmm__slot_link *slot =
        (struct bmm__slot_link *)(span->start + (uintptr_t)index * span->list.slot_bytes); /* NOLINT */
    uint32_t enough = bmm__span_enough(bmm__load_relaxed(&span->slot_count));
    uint64_t word = bmm__load_relaxed(&span->remote), pushed;
    bool becomes_available;
    do {
        bmm__batch_write(slot, BMM__REMOTE_HEAD(word), other_count);
        pushed = ((uint64_t)(index + 1) << 16) | ((word & ~0xffff0000ull) + 4 * ((uint64_t)other_count + 1));
        becomes_available = BMM__REMOTE_STATE(word) == BMM__REMOTE_FULL && BMM__REMOTE_COUNT(pushed) >= enough;
        if (becomes_available)
            pushed = (pushed & ~(uint64_t)3) | BMM__REMOTE_OWNED;
    } while (!bmm__cas_weak_seq_cst(&span->remote, &word, pushed)); /* release: the collector sees the batch */
    if (becomes_available)
        push_ready(span);
    return pushed;
}

/* After that: the span's memory goes back if nothing in it is live. heap is the caller's; NULL: none. True: it went. */
static bool settle(struct bmm__heap *heap, struct bmm__span *span, uint64_t pushed)
{
    if (!bmm__remote_try_claim(span, pushed))
        return false;
    if (heap != NULL)
        bmm__heap_gave_back(heap);
    else
        bmm__purge_tick();
    return true;
}

/* One slot alone. */
static void push(struct bmm__heap *heap, struct bmm__span *span, uint32_t index)
{
    settle(heap, span, publish(span, index, 0));
}

/* The batch is written in the slot that came last, which is likeliest to be in the cache still. Returns how many bytes went back. */
static size_t send(struct bmm__heap *heap, struct bmm__outbox *box)
{
    struct bmm__span *span = box->span;
    BMM_ASSERT(span != NULL && box->count != 0);
    size_t span_bytes = span->span_bytes;
    uint32_t count = box->count, other_count = count - 1, last = box->slots[other_count];
    struct bmm__slot_link *carrier =
        (struct bmm__slot_link *)(span->start + (uintptr_t)last * span->list.slot_bytes); /* NOLINT */
    for (uint32_t i = 0; i < count; i++)
        bmm__slot_expect_sent(&span->list, box->slots[i]);
    bmm__slot_expect_carrier(carrier);
    memcpy(bmm__batch_others(carrier), box->slots, other_count * sizeof box->slots[0]);
    bmm__store_relaxed(&heap->sending, span);
    box->room = 0;
    heap->posted_bytes -= (uint32_t)span_bytes;
    heap->posted[(box - heap->outbox) / 64] &= ~(1ull << (box - heap->outbox) % 64);
    bmm__store_release(&box->span, NULL); /* who sees the box empty sees that the batch is on its way (visit.c) */
    uint64_t pushed = publish(span, last, other_count);
    bmm__store_release(&heap->sending, NULL); /* and now it has arrived */
    return settle(heap, span, pushed) ? span_bytes : 0;
}

void bmm__remote_send_all(struct bmm__heap *heap)
{
    for (unsigned i = 0; i < BMM__OUTBOX_COUNT / 64; i++)
        for (uint64_t left = heap->posted[i]; left != 0; left &= left - 1)
            send(heap, &heap->outbox[i * 64 + (unsigned)__builtin_ctzll(left)]);
}

/* Entries in turn, until those that are left are of no more than so many bytes, or much memory has gone back. */
static void send_some(struct bmm__heap *heap, uint32_t left_bytes)
{
    size_t closed_bytes = 0;
    for (unsigned n = 0; n < BMM__OUTBOX_COUNT && heap->posted_bytes > left_bytes && closed_bytes < CLOSED_BYTES_MAX;
         n++) {
        unsigned i = heap->next_to_send++ % BMM__OUTBOX_COUNT;
        if ((heap->posted[i / 64] >> i % 64 & 1) != 0)
            closed_bytes += send(heap, &heap->outbox[i]);
    }
}

void bmm__remote_send_due(struct bmm__heap *heap)
{
    send_some(heap, 0);
}

/* How many slots a batch is to have: what it has room to name, and little memory. */
static uint32_t most_of(uint32_t slot_bytes)
{
    uint32_t most = bmm__batch_room(slot_bytes) + 1, little = BATCH_BYTES / slot_bytes;
    return most < little ? most : little;
}

static uint32_t key_of(const struct bmm__span *span, const void *slot)
{
    struct bmm__list_place place;
    bool is_inside = span->entries != NULL && bmm__page_map_look((uintptr_t)slot, &place);
    return bmm__remote_key(is_inside ? bmm__list_at(place) : &span->list);
}

static void post(struct bmm__heap *heap, struct bmm__span *span, const void *slot, uint32_t index)
{
    uint32_t key = key_of(span, slot);
    struct bmm__outbox *box = bmm__remote_box(heap, key);
    if (box->span != span || box->key != key) {
        if (box->span != NULL)
            send(heap, box);
        if (heap->posted_bytes > POSTED_BYTES_MAX)
            send_some(heap, POSTED_BYTES_MAX / 2); /* the others go on to be filled */
        heap->posted_bytes += (uint32_t)span->span_bytes;
        heap->posted[(box - heap->outbox) / 64] |= 1ull << (box - heap->outbox) % 64;
        bmm__store_release(&box->count, 0);
        box->key = key;
        box->room = (uint16_t)(most_of(span->list.slot_bytes) - 1);
        bmm__store_release(&box->span, span);
    }
    bool is_full = box->count == box->room;
    bmm__remote_add(box, index);
    if (is_full) {
        send(heap, box);
        heap->looks = 0; /* it stands for many frees */
    }
}

void bmm__remote_free(struct bmm__heap *heap, struct bmm__span *span, void *slot, uint32_t index)
{
    /* With a client, which shows no spans, nobody has tried yet. */
    if (heap != NULL && (heap->token & 1) != 0 && bmm__remote_try_add(heap, &span->list, slot))
        return;
    bmm__slot_send(&span->list, slot, index);
    if (heap == NULL) {
        push(NULL, span, index);
        return;
    }
    bmm__heap_begin(heap);
    bmm__heap_pass_by(heap);
    if (span->list.slot_bytes > SLOT_BYTES_MAX || bmm__object_has(span))
        push(heap, span, index);
    else
        post(heap, span, slot, index);
    bmm__heap_end(heap);
}
