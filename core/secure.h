/* The secure variant's slots (BMM_SECURE; libbrainmm_secure): included by slot.h only.
 *
 *   states: a byte for each 16 of the window, far away from it     free slot: next, scrambled │ its seal │ …
 *           1 = a slot in use begins here, 0 = anything else                  └ neither can be guessed ┘
 *
 *   free:   state must be 1 ─► double, interior and wild frees stop the program, whoever frees, at once
 *   malloc: state must be 0, the seal intact ─► so does a write after free to the first 16 bytes
 *
 * Known gaps: two threads that free one slot at the very same instant may both pass, and the span may be given back over
 * live slots; a batch's indices are not sealed, nor looked at when they are taken over; a fork between the stores of
 * bmm__secure_take leaves the child a list that stops it.
 * Slots that were never used are linked in random order. Everything that describes slots lies elsewhere, between pages
 * that fault (meta.c, window.h).
 *
 * Invariants: X1 the state of an address that is in no span of slots is 0. X2 next ^ seal of a free slot is the second
 * key. X3 what the fast path sees of malloc's lists lies in the window.
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

extern uint8_t *bmm__secure_states BMM__HIDDEN;
extern uintptr_t bmm__secure_keys[2] BMM__HIDDEN; /* written before the first heap is made */
extern uintptr_t bmm__secure_end BMM__HIDDEN;     /* states; release when it grows */

/* Chooses the keys. */
void bmm__secure_start(void);

/* The window is about to have so many granules, at most capacity; it has them. False: no memory for their states. */
bool bmm__secure_extend(size_t granules, size_t capacity);
void bmm__secure_extended(size_t granules);

/* The state of an address outside the window. */
uint8_t *bmm__secure_state_outside(uintptr_t address);

/* Stop the program with a line that says what is wrong with the address. */
_Noreturn void bmm__secure_bad_slot(const void *slot); /* a free one */
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
    return next ^ (uintptr_t)slot ^ bmm__secure_keys[0];
}

/* ---- slot.h ---- */

static inline void bmm__slot_link_word(struct bmm__slot_link *slot, uintptr_t word)
{
    bmm__store_relaxed(&slot->next, (struct bmm__slot_link *)word); /* NOLINT */
    bmm__store_relaxed(&slot->seal, word ^ bmm__secure_keys[1]);
}

static inline struct bmm__slot_link *bmm__slot_next(const struct bmm__slot_link *slot)
{
    return (struct bmm__slot_link *)bmm__secure_scramble(slot, (uintptr_t)bmm__load_relaxed(&slot->next)); /* NOLINT */
}

static inline void bmm__slot_link(struct bmm__slot_link *slot, struct bmm__slot_link *next)
{
    bmm__slot_link_word(slot, bmm__secure_scramble(slot, (uintptr_t)next));
}

/* Batches begin with a link of indices, sealed as any; what they name is not (a known gap). */

static inline uint32_t bmm__batch_room(uint32_t slot_bytes)
{
    return (slot_bytes - (uint32_t)sizeof(struct bmm__slot_link)) / 2;
}

static inline uint16_t *bmm__batch_others(struct bmm__slot_link *slot)
{
    return (uint16_t *)(void *)(slot + 1);
}

static inline void bmm__batch_write(struct bmm__slot_link *slot, uint32_t next, uint32_t count)
{
    bmm__slot_link_word(slot, (uintptr_t)next | (uintptr_t)count << 16);
}

static inline uint32_t bmm__batch_read(const struct bmm__slot_link *slot, uint32_t *count)
{
    uintptr_t word = (uintptr_t)bmm__load_relaxed(&slot->next);
    if (__builtin_expect((bmm__load_relaxed(&slot->seal) ^ word) != bmm__secure_keys[1], 0))
        bmm__secure_bad_slot(slot);
    *count = (uint32_t)(word >> 16);
    return (uint32_t)word & 0xffffu;
}

static inline struct bmm__slot_link *bmm__secure_take(struct bmm__slot_link *slot, uint8_t *state)
{
    uintptr_t word = (uintptr_t)slot->next;
    if (__builtin_expect((slot->seal ^ word) != bmm__secure_keys[1], 0) || __builtin_expect(*state != 0, 0))
        bmm__secure_bad_slot(slot);
    *state = 1;
    slot->next = NULL;
    slot->seal = 0;
    return (struct bmm__slot_link *)bmm__secure_scramble(slot, word); /* NOLINT */
}

static inline struct bmm__slot_link *bmm__slot_take_shown(struct bmm__slot_link *slot)
{
    return bmm__secure_take(slot, &bmm__secure_states[((uintptr_t)slot - bmm__window_start) / 16]);
}

static inline struct bmm__slot_link *bmm__slot_take(struct bmm__slot_link *slot)
{
    return bmm__secure_take(slot, bmm__secure_state(slot));
}

static inline void bmm__slot_retire(struct bmm__slot_link *slot)
{
    bmm__secure_states[bmm__secure_index((uintptr_t)slot)] = 0;
}

static inline void bmm__slot_retire_checked(struct bmm__slot_link *slot)
{
    if (bmm__exchange_acq_rel(bmm__secure_state(slot), 0) != 1)
        bmm__secure_bad_free(slot);
}

static inline void bmm__slot_expect_used(const void *slot)
{
    if (bmm__load_relaxed(bmm__secure_state(slot)) != 1)
        bmm__secure_bad_free(slot);
}

#endif
