/* The secure variant's slots (BMM_SECURE; libbrainmm_secure): included by slot.h only.
 *
 *   states: a byte for each 16 of the window, far away from it     slot on a list: word │ its seal │ …
 *           of the slot that begins here: used, free, sent; else 0                  └ neither can be guessed ┘
 *
 *   free:   state must be used ─► double, interior and wild frees stop the program, whoever frees, at once
 *   malloc: state must be free, the seal intact ─► so does a write after free to the first 16 bytes
 *
 * The word is the next slot, scrambled; of the slot that carries a batch, its head. The seal binds it to the slot's address,
 * to which of the two it is, and to the life of the span, which has a key of its own: what was read in a free slot says
 * nothing when the span has ended. What another thread freed has the state sent and holds its own address, scrambled, until
 * its owner takes it over: only what was sent, and once, whatever a batch says, for only the states are believed.
 * Of two threads that free one slot at the very same instant, its owner may find it in use, too. Then the slot is sent and on
 * a list, and found out when either is looked at (its state), or when the span ends: whoever claims it takes over what was
 * sent as its owner would have, and then nothing may be left in use or sent (bmm__secure_close).
 * Slots that were never used are linked in random order. Everything that describes slots lies elsewhere, between pages
 * that fault (meta.c, window.h).
 *
 * Invariants: X1 the state of an address that is in no span of slots is 0. X2 the seal of a free slot is that of its word,
 * address, list and span. X3 what the fast path sees of malloc's lists lies in the window. X4 a slot is off its list
 * before its state says so and its words go (a fork between them loses a slot, and nothing else).
 */
#ifndef BMM_SECURE_H
#define BMM_SECURE_H

#include "core/assert.h"
#include "core/atomic.h"
#include "core/window.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bmm__slot_link {
    struct bmm__slot_link *next; /* the first word of a free slot */
    uintptr_t seal;              /* the second */
};

enum bmm__secure_state { BMM__STATE_FREE = 0, BMM__STATE_USED, BMM__STATE_SENT };
extern uint8_t *bmm__secure_states BMM__HIDDEN;    /* of the window's start */
extern uintptr_t bmm__secure_states_0 BMM__HIDDEN; /* where that of address 0 would be */
/* Written before the first heap is made. */
enum bmm__secure_key {
    BMM__KEY_SCRAMBLE,
    BMM__KEY_LOCAL,
    BMM__KEY_BATCH,
    BMM__KEY_MARK,
    BMM__KEY_LIFE,
    BMM__KEY_COUNT
};
extern uintptr_t bmm__secure_keys[BMM__KEY_COUNT] BMM__HIDDEN;
extern uintptr_t bmm__secure_end BMM__HIDDEN; /* states; release when it grows */

/* Chooses the keys. */
void bmm__secure_start(void);

/* The window is about to have so many granules, at most capacity; it has them. False: no memory for their states. */
bool bmm__secure_extend(size_t granules, size_t capacity);
void bmm__secure_extended(size_t granules);

/* The state of an address outside the window. */
uint8_t *bmm__secure_state_outside(uintptr_t address);

/* Stop the program with a line that says what is wrong with the address. */
_Noreturn void bmm__secure_bad_slot(const void *slot);   /* on a list */
_Noreturn void bmm__secure_bad_batch(const void *batch); /* or a slot that it names */
_Noreturn void bmm__secure_bad_free(const void *slot);

/* The number of a slot's state: of what is not aligned it is out of all bounds. */
static inline uintptr_t bmm__secure_index(uintptr_t address)
{
    uintptr_t offset = address - bmm__window_start;
    return offset >> 4 | offset << (8 * sizeof offset - 4);
}

static inline uint8_t *bmm__secure_state(const void *slot)
{
    uintptr_t index = bmm__secure_index((uintptr_t)slot);
    if (__builtin_expect(index >= bmm__load_operand(&bmm__secure_end), 0))
        return bmm__secure_state_outside((uintptr_t)slot);
    return &bmm__secure_states[index];
}

static inline uintptr_t bmm__secure_scramble(const struct bmm__slot_link *slot, uintptr_t next)
{
    return next ^ (uintptr_t)slot ^ bmm__secure_keys[BMM__KEY_SCRAMBLE];
}

/* A mix of two words by one long multiplication, after Wang Yi's wyhash. */
static inline uintptr_t bmm__secure_mix(uintptr_t low, uintptr_t high)
{
#if defined(__x86_64__) /* gcc saves registers for the halves of a wide product that it does not use */
    __asm__("mulq %1" : "+a"(low), "+d"(high) : : "cc");
#else
    __extension__ unsigned __int128 product = (unsigned __int128)low * high;
    low = (uintptr_t)product;
    high = (uintptr_t)(product >> 64);
#endif
    return low ^ high;
}

/* Below, what is what the word hides, key that of the span's life, and kind KEY_LOCAL or KEY_BATCH. */

static inline uintptr_t bmm__secure_seal(const struct bmm__slot_link *slot, uintptr_t word, uintptr_t key,
                                         enum bmm__secure_key kind)
{
    return bmm__secure_mix(word ^ bmm__secure_keys[kind], (uintptr_t)slot ^ key);
}

static inline void bmm__secure_write(struct bmm__slot_link *slot, uintptr_t what, uintptr_t key,
                                     enum bmm__secure_key kind)
{
    uintptr_t word = bmm__secure_scramble(slot, what);
    bmm__store_relaxed(&slot->next, (struct bmm__slot_link *)word); /* NOLINT */
    bmm__store_relaxed(&slot->seal, bmm__secure_seal(slot, word, key, kind));
    bmm__signal_fence(); /* before it is on a list (X4) */
}

/* False: it is not as it was written. */
static inline bool bmm__secure_read(const struct bmm__slot_link *slot, uintptr_t *what, uintptr_t key,
                                    enum bmm__secure_key kind)
{
    uintptr_t word = (uintptr_t)bmm__load_relaxed(&slot->next);
    if (__builtin_expect(bmm__load_operand(&slot->seal) != bmm__secure_seal(slot, word, key, kind), 0))
        return false;
    bmm__signal_fence(); /* lest the other key be fetched first: there is no register left for it */
    *what = bmm__secure_scramble(slot, word);
    return true;
}

/* ---- slot.h ---- */

static inline struct bmm__slot_link *bmm__slot_next(const struct bmm__slot_link *slot)
{
    return (struct bmm__slot_link *)bmm__secure_scramble(slot, (uintptr_t)bmm__load_relaxed(&slot->next)); /* NOLINT */
}

static inline void bmm__slot_link(struct bmm__slot_link *slot, struct bmm__slot_link *next, uintptr_t key)
{
    bmm__secure_write(slot, (uintptr_t)next, key, BMM__KEY_LOCAL);
}

/* A batch begins with its head, sealed. Of the indices behind it only the slots' states are believed. */

static inline uint32_t bmm__batch_room(uint32_t slot_bytes)
{
    return (slot_bytes - (uint32_t)sizeof(struct bmm__slot_link)) / 2;
}

static inline uint16_t *bmm__batch_others(struct bmm__slot_link *slot)
{
    return (uint16_t *)(void *)(slot + 1);
}

#define BMM__SECURE_OTHERS_MAX 15u /* that a batch names */

static inline void bmm__batch_write(struct bmm__slot_link *slot, uint32_t next, uint32_t count, uintptr_t key)
{
    bmm__secure_write(slot, next | count << 16, key, BMM__KEY_BATCH);
}

static inline uint32_t bmm__batch_read(struct bmm__slot_link *slot, uint32_t *count, uintptr_t key)
{
    uintptr_t head;
    if (!bmm__secure_read(slot, &head, key, BMM__KEY_BATCH) || head >> 16 > BMM__SECURE_OTHERS_MAX)
        bmm__secure_bad_batch(slot);
    *count = (uint32_t)head >> 16;
    return (uint32_t)head & 0xffffu;
}

/* What a sent slot holds in both its words; of what carries a batch, the batch takes its place. */
static inline uintptr_t bmm__secure_mark(const struct bmm__slot_link *slot)
{
    return (uintptr_t)slot ^ bmm__secure_keys[BMM__KEY_MARK];
}

static inline void bmm__slot_send(struct bmm__slot_link *slot)
{
    if (bmm__exchange_acq_rel(bmm__secure_state(slot), BMM__STATE_SENT) != BMM__STATE_USED)
        bmm__secure_bad_free(slot);
    bmm__store_relaxed(&slot->next, (struct bmm__slot_link *)bmm__secure_mark(slot)); /* NOLINT */
    bmm__store_relaxed(&slot->seal, bmm__secure_mark(slot));
}

static inline void bmm__slot_expect_index(const struct bmm__slot_link *batch, uint32_t index, uint32_t count)
{
    if (__builtin_expect(index >= count, 0))
        bmm__secure_bad_batch(batch);
}

static inline void bmm__slot_receive(struct bmm__slot_link *slot, const struct bmm__slot_link *batch)
{
    uint8_t *state = bmm__secure_state(slot);
    if (__builtin_expect(bmm__load_relaxed(state) != BMM__STATE_SENT, 0))
        bmm__secure_bad_batch(batch);
    uintptr_t changed = ((uintptr_t)bmm__load_relaxed(&slot->next) ^ bmm__secure_mark(slot)) |
                        (bmm__load_relaxed(&slot->seal) ^ bmm__secure_mark(slot));
    if (__builtin_expect(slot != batch && changed != 0, 0))
        bmm__secure_bad_batch(slot);
    bmm__store_relaxed(state, BMM__STATE_FREE);
}

/* Of a slot at the head of a local list; false: it is not as it should be. */
static inline bool bmm__secure_next(const struct bmm__slot_link *slot, const uint8_t *state,
                                    struct bmm__slot_link **next, uintptr_t key)
{
    uintptr_t what;
    if (!bmm__secure_read(slot, &what, key, BMM__KEY_LOCAL) ||
        __builtin_expect(bmm__load_operand(state) != BMM__STATE_FREE, 0))
        return false;
    *next = (struct bmm__slot_link *)what; /* NOLINT */
    return true;
}

static inline void bmm__secure_use(struct bmm__slot_link *slot, uint8_t *state)
{
    bmm__signal_fence(); /* X4 */
    bmm__store_relaxed(state, BMM__STATE_USED);
    bmm__store_relaxed(&slot->next, NULL);
    bmm__store_relaxed(&slot->seal, (uintptr_t)0);
}

static inline bool bmm__slot_take_shown(struct bmm__slot_link *slot, struct bmm__slot_link **next, uint8_t **state,
                                        uintptr_t key)
{
    *state = (uint8_t *)(bmm__secure_states_0 + (uintptr_t)slot / 16); /* NOLINT */
    BMM__FORGET(*state); /* lest it be made twice, of what needs two registers */
    return bmm__secure_next(slot, *state, next, key);
}

static inline void bmm__slot_use_shown(struct bmm__slot_link *slot, uint8_t *state)
{
    bmm__secure_use(slot, state);
}

static inline struct bmm__slot_link *bmm__slot_take(struct bmm__slot_link *slot, uintptr_t key)
{
    struct bmm__slot_link *next;
    if (!bmm__secure_next(slot, bmm__secure_state(slot), &next, key))
        bmm__secure_bad_slot(slot);
    return next;
}

static inline void bmm__slot_use(struct bmm__slot_link *slot)
{
    bmm__secure_use(slot, bmm__secure_state(slot));
}

static inline void bmm__slot_retire(uint8_t *state)
{
    bmm__store_relaxed(state, BMM__STATE_FREE);
}

static inline void bmm__slot_retire_checked(struct bmm__slot_link *slot)
{
    if (bmm__exchange_acq_rel(bmm__secure_state(slot), BMM__STATE_FREE) != BMM__STATE_USED)
        bmm__secure_bad_free(slot);
}

static inline void bmm__slot_expect_used(const void *slot)
{
    if (bmm__load_relaxed(bmm__secure_state(slot)) != BMM__STATE_USED)
        bmm__secure_bad_free(slot);
}

static inline void bmm__slot_expect_list_of(uint32_t length, uint32_t count, const void *slot)
{
    if (__builtin_expect(length > count, 0))
        bmm__secure_bad_slot(slot);
}

#endif
