/* The secure variant's slots (BMM_SECURE; libbrainmm_secure): included by slot.h only.
 *
 *   a span's states: a byte for each slot: new, free, used, sent ┐ in a table far away       a free slot:
 *   its stack: the indices of free slots (list.h)                ┘ from all blocks           │ mark │ mark │ what it held …
 *
 *   free:   state must be used ─► double, interior and wild frees stop the program, whoever frees, at once
 *   malloc: state must be free, the marks intact ─► so does a write after free to the first 16 bytes
 *
 * Nothing that is read in a free slot is believed, so there is nothing in one that could be forged: which slots are free
 * stands in the stacks. What another thread freed has the state sent until its owner takes it over. A batch lies in a slot that
 * was sent, and is believed in this only: that it names slots in the state sent, each once, and as many as the span's
 * remote word says.
 * Of two threads that free one slot at the very same instant, one may be its owner, who finds it in use and then makes it
 * free, though the other one has sent it. That is found out by its state when either is looked at: when it is taken off the
 * list, before a batch names it, or carries it, when a batch is received, or when the span ends: whoever claims it takes over
 * what was sent as its owner would have, and then nothing may be left in use or sent (bmm__secure_close).
 * Slots that were never used are listed some at a time, in random order among their neighbours. Of large ones each would be a
 * page that is touched before its time; so they stay new, and have no marks, until they are used. Everything that describes
 * slots lies elsewhere, between pages that fault (meta.c, window.h).
 *
 * Invariants: X1 states of slots that no list had yet are new. X2 a slot in the state free, and one in the state sent that
 * carries no batch, begins with the marks. X3 a slot is off its list before its state says so, and on a list after (a fork
 * between them loses a slot, and nothing else).
 */
#ifndef BMM_SECURE_H
#define BMM_SECURE_H
#ifdef BMM_SECURE

#include "core/assert.h"
#include "core/atomic.h"
#include "core/batch.h"
#include "core/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bmm__slot_link {
    uint64_t mark[2];
};

/* No address that a program may use; and short to write, as a constant of 32 bits with a sign. */
#define BMM__MARK ((uint64_t)0xfffffffff1eef1eeu)

enum bmm__secure_state { BMM__STATE_NEW = 0, BMM__STATE_FREE, BMM__STATE_USED, BMM__STATE_SENT };
#define BMM__NEW_BYTES_MIN 1025u /* of slots that are new until they are used */

/* Begins the order of what is random. */
void bmm__secure_start(void);

/* The window is about to have so many granules, at most capacity. False: no memory for their tables. */
bool bmm__secure_extend(size_t granules, size_t capacity);

/* Stop the program with a line that says what is wrong with the address. */
_Noreturn void bmm__secure_bad_slot(const void *slot, uint8_t state); /* on a list */
_Noreturn void bmm__secure_bad_batch(const void *batch);              /* or a slot that it names */
_Noreturn void bmm__secure_bad_free(const void *slot);

static inline void bmm__secure_mark(struct bmm__slot_link *slot)
{
    bmm__store_relaxed(&slot->mark[0], BMM__MARK);
    bmm__store_relaxed(&slot->mark[1], BMM__MARK);
}

static inline bool bmm__secure_is_marked(const struct bmm__slot_link *slot)
{
    return BMM__LIKELY(bmm__load_operand(&slot->mark[0]) == BMM__MARK) &&
           BMM__LIKELY(bmm__load_operand(&slot->mark[1]) == BMM__MARK);
}

/* ---- lists ---- */

static inline struct bmm__slot_link *bmm__secure_slot(const struct bmm__list *list, uintptr_t index)
{
    return (struct bmm__slot_link *)(list->start + index * list->slot_bytes); /* NOLINT */
}

/* As bmm__span_slot_at (span.h); the index may be that of no slot, behind the last. */
static inline bool bmm__secure_index(const struct bmm__list *list, const void *slot, uintptr_t *index)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)list->inverse * ((uintptr_t)slot - list->start);
    *index = (uintptr_t)(product >> 64);
    return BMM__LIKELY((uint64_t)product < list->inverse);
}

static inline bool bmm__list_is_empty(const struct bmm__list *list)
{
    return list->free == list->bottom;
}

static inline void bmm__list_clear(struct bmm__list *list)
{
    bmm__store_relaxed(&list->free, list->bottom);
}

static inline void bmm__list_stand_for(struct bmm__list *list, const struct bmm__list *own)
{
    list->bottom = own->bottom;
    list->states = own->states;
    list->start = own->start;
    list->inverse = own->inverse;
    bmm__store_relaxed(&list->free, own->free);
}

static inline void bmm__list_stand_back(const struct bmm__list *list, struct bmm__list *own)
{
    bmm__store_relaxed(&own->free, list->free);
}

static inline void bmm__list_put(struct bmm__list *list, const struct bmm__slot_link *slot, uintptr_t index)
{
    (void)slot;
    uint16_t *free = list->free;
    bmm__store_relaxed(free, (uint16_t)index);
    bmm__signal_fence(); /* X3 */
    bmm__store_relaxed(&list->free, free + 1);
}

/* 8 or more if there are that many, for they come in random order: one of fewer is soon guessed. Powers of two. */
static inline uint32_t bmm__list_new_count(uint32_t wanted, uint32_t room)
{
    uint32_t count = wanted < 8 ? 8 : wanted;
    count = count < room ? count : room;
    return 1u << (31 - __builtin_clz(count));
}
void bmm__list_put_new(struct bmm__list *list, uintptr_t first, uint32_t index, uint32_t count);

/* False: the first slot of the list, which is not empty, is new or not as it should be; nothing was taken. */
static inline bool bmm__secure_try_take(struct bmm__list *list, struct bmm__slot_link **slot)
{
    uint16_t *free = list->free - 1;
    uintptr_t index = bmm__load_relaxed(free);
    uint8_t *state = &list->states[index];
    *slot = bmm__secure_slot(list, index);
    if (BMM__UNLIKELY(bmm__load_operand(state) != BMM__STATE_FREE) || !bmm__secure_is_marked(*slot))
        return false;
    bmm__store_relaxed(&list->free, free);
    bmm__signal_fence(); /* X3 */
    bmm__store_relaxed(state, BMM__STATE_USED);
    __builtin_prefetch(bmm__secure_slot(list, free[-1]), 1); /* as in bmm__list_pop (entry.h) */
    return true;
}

static inline struct bmm__slot_link *bmm__list_take(struct bmm__list *list)
{
    uint32_t index = list->free[-1];
    struct bmm__slot_link *slot = bmm__secure_slot(list, index);
    if (bmm__load_relaxed(&list->states[index]) == BMM__STATE_NEW) {
        bmm__store_relaxed(&list->states[index], BMM__STATE_FREE);
        bmm__secure_mark(slot);
    }
    if (!bmm__secure_try_take(list, &slot))
        bmm__secure_bad_slot(slot, list->states[index]);
    return slot;
}

static inline struct bmm__slot_link *bmm__list_walk(const struct bmm__list *list, const void **at)
{
    const uint16_t *before = *at == NULL ? bmm__load_relaxed(&list->free) : *at;
    if (before == list->bottom)
        return NULL;
    *at = before - 1;
    return bmm__secure_slot(list, bmm__load_relaxed(before - 1));
}

/* ---- out of use and back ---- */

static inline bool bmm__list_may_free(const struct bmm__list *list, const void *slot, uintptr_t *index)
{
    return bmm__secure_index(list, slot, index) &&
           BMM__LIKELY(bmm__load_operand(&list->states[*index]) == BMM__STATE_USED);
}

static inline void bmm__slot_retire(const struct bmm__list *list, struct bmm__slot_link *slot, uintptr_t index)
{
    bmm__store_relaxed(&list->states[index], BMM__STATE_FREE);
    bmm__secure_mark(slot);
}

static inline void bmm__slot_retire_checked(const struct bmm__list *list, struct bmm__slot_link *slot, uintptr_t index)
{
    if (bmm__load_relaxed(&list->states[index]) != BMM__STATE_USED)
        bmm__secure_bad_free(slot);
    bmm__slot_retire(list, slot, index);
}

static inline void bmm__slot_send(const struct bmm__list *list, struct bmm__slot_link *slot, uintptr_t index)
{
    if (bmm__exchange_acq_rel(&list->states[index], BMM__STATE_SENT) != BMM__STATE_USED)
        bmm__secure_bad_free(slot);
    bmm__secure_mark(slot);
}

/* Whether a slot that carries a batch has the marks where the batch does not cover them. */
static inline bool bmm__secure_is_marked_beside(const struct bmm__slot_link *slot)
{
    uint32_t count;
    bmm__batch_read(slot, &count);
    size_t covered = sizeof(struct bmm__batch) + 2 * (size_t)count;
    const uint64_t mark[2] = { BMM__MARK, BMM__MARK };
    return covered >= sizeof mark ||
           memcmp((const char *)slot + covered, (const char *)mark + covered, sizeof mark - covered) == 0;
}

/* What else the slot holds is looked at when it is taken. */
static inline void bmm__slot_receive(const struct bmm__list *list, struct bmm__slot_link *slot, uintptr_t index,
                                     const struct bmm__slot_link *batch)
{
    uint8_t *state = &list->states[index];
    if (BMM__UNLIKELY(bmm__load_relaxed(state) != BMM__STATE_SENT))
        bmm__secure_bad_batch(batch);
    if (slot == batch) {
        if (!bmm__secure_is_marked_beside(slot))
            bmm__secure_bad_batch(batch);
        bmm__secure_mark(slot);
    }
    bmm__store_relaxed(state, BMM__STATE_FREE);
}

static inline void bmm__slot_expect_sent(const struct bmm__list *list, uintptr_t index)
{
    if (BMM__UNLIKELY(bmm__load_relaxed(&list->states[index]) != BMM__STATE_SENT))
        bmm__secure_bad_free(bmm__secure_slot(list, index));
}

static inline void bmm__slot_expect_carrier(const struct bmm__slot_link *slot)
{
    if (!bmm__secure_is_marked(slot))
        bmm__secure_bad_slot(slot, BMM__STATE_FREE);
}

static inline void bmm__slot_expect_count(const struct bmm__slot_link *batch, uint32_t count, uint32_t slot_bytes)
{
    if (BMM__UNLIKELY(count > bmm__batch_room(slot_bytes)))
        bmm__secure_bad_batch(batch);
}

static inline void bmm__slot_expect_index(const struct bmm__slot_link *batch, uint32_t index, uint32_t count)
{
    if (BMM__UNLIKELY(index >= count))
        bmm__secure_bad_batch(batch);
}

static inline void bmm__slot_expect_waiting(const struct bmm__slot_link *batch, uint32_t count, bool is_more)
{
    if (BMM__UNLIKELY((count != 0) != is_more))
        bmm__secure_bad_batch(batch);
}

static inline void bmm__slot_expect_free(const struct bmm__list *list, const struct bmm__slot_link *slot)
{
    uintptr_t index;
    bmm__secure_index(list, slot, &index);
    uint8_t state = bmm__load_relaxed(&list->states[index]);
    if (state != BMM__STATE_NEW && (state != BMM__STATE_FREE || !bmm__secure_is_marked(slot)))
        bmm__secure_bad_slot(slot, state);
}

static inline void bmm__slot_expect_used(const struct bmm__list *list, const void *slot)
{
    uintptr_t index;
    if (!bmm__secure_index(list, slot, &index) || bmm__load_relaxed(&list->states[index]) != BMM__STATE_USED)
        bmm__secure_bad_free(slot);
}

#endif
#endif
