/* The secure variant's slots (BMM_SECURE; libbrainmm_secure): included by slot.h only.
 *
 *   the links of a span, a number for each slot, in a table far away from all blocks:      a free slot:
 *   free: the number of the next free one ─► … ─► none; else: used, or sent                │ mark │ mark │ what it held …
 *
 *   free:   link must be used ─► double, interior and wild frees stop the program, whoever frees, at once
 *   malloc: the marks must be intact ─► so does a write after free to the first 16 bytes
 *
 * Nothing that is read in a free slot is believed, so there is nothing in one that could be forged: which slots are free
 * stands in the links (an array of indices beside the objects, as Linux' SLAB allocator had it). What another thread freed has the
 * link sent until its owner takes it over. A batch lies in a slot that was sent, and is believed in this only: that it names
 * slots whose links are sent, each once, and as many as the span's remote word says.
 * Of two threads that free one slot at the very same instant, whoever exchanges its link second finds out at once. But one may be
 * its owner, who exchanges nothing: it finds the slot in use, and puts it on the list though the other one has just sent it. That is
 * found out by its link: before a batch names it, or carries it, when a batch is received, or when the span ends: whoever claims
 * it takes over what was sent as its owner would have, and then nothing may be left in use or sent (bmm__secure_close).
 * Slots that were never used are listed some at a time, in random order among their neighbours. Of large ones each would be a
 * page that is touched before its time; so they have no marks until they are used, and who names them says so (BMM__LINK_NEW).
 * Everything that describes slots lies elsewhere, between pages that fault (meta.c, window.h).
 *
 * Invariants: X1 links of slots that no list had yet are not used or sent. X2 a slot on a list that was in use, and one that was
 * sent and carries no batch, begins with the marks. X3 a slot is off its list before its link says so, and on a list after (a
 * fork between them loses a slot, and nothing else).
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

/* What a link is: the number of the next free slot, which is its index and 1; 0: there is none. So are a list's beginnings, and
 * with a sign: all that malloc does not take at once is negative. */
#define BMM__LINK_NEW 0x8000u  /* and a number: that slot has no marks yet */
#define BMM__LINK_USED 0xc000u /* no number */
#define BMM__LINK_SENT 0xc001u
#define BMM__LINK_NO_NUMBER 0x4000u /* in these two only */
#define BMM__NEW_BYTES_MIN 1025u    /* of slots that are new until they are used */

static inline uint32_t bmm__link_number(int64_t link)
{
    return (uint32_t)link & (BMM__LINK_NO_NUMBER - 1);
}

/* Begins the order of what is random. */
void bmm__secure_start(void);

/* The window is about to have so many granules, at most capacity. False: no memory for their tables. */
bool bmm__secure_extend(size_t granules, size_t capacity);

/* Stop the program with a line that says what is wrong with the address. */
_Noreturn void bmm__secure_bad_slot(const void *slot); /* on a list, or about to carry a batch */
_Noreturn void bmm__secure_bad_link(const struct bmm__list *list);
_Noreturn void bmm__secure_bad_batch(const void *batch); /* or a slot that it names */
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

static inline struct bmm__slot_link *bmm__secure_slot(const struct bmm__list *list, uint32_t number)
{
    return (struct bmm__slot_link *)(list->before + number * list->slot_bytes); /* NOLINT */
}

/* As bmm__span_slot_at (span.h); the number may be that of no slot, behind the last. */
static inline bool bmm__secure_number(const struct bmm__list *list, const void *slot, uintptr_t *number)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)list->inverse * ((uintptr_t)slot - list->before);
    *number = (uintptr_t)(product >> 64);
    return BMM__LIKELY((uint64_t)product < list->inverse);
}

static inline bool bmm__list_is_empty(const struct bmm__list *list)
{
    return list->free == 0;
}

static inline void bmm__list_clear(struct bmm__list *list)
{
    bmm__store_relaxed(&list->free, 0);
}

static inline void bmm__list_stand_for(struct bmm__list *list, const struct bmm__list *own)
{
    list->links = own->links;
    list->before = own->before;
    list->inverse = own->inverse;
    bmm__store_relaxed(&list->free, own->free);
}

static inline void bmm__list_stand_back(const struct bmm__list *list, struct bmm__list *own)
{
    bmm__store_relaxed(&own->free, list->free);
}

static inline void bmm__secure_lead(struct bmm__list *list, uint16_t *link, uintptr_t number)
{
    bmm__store_relaxed(link, (uint16_t)list->free);
    bmm__signal_fence(); /* X3 */
    bmm__store_relaxed(&list->free, (int64_t)number);
}

static inline void bmm__list_put(struct bmm__list *list, const struct bmm__slot_link *slot, uintptr_t index)
{
    (void)slot;
    bmm__secure_lead(list, &list->links[index + 1], index + 1);
}

/* A slot that may be freed by the list's owner becomes its first. */
static inline void bmm__secure_retire(struct bmm__list *list, struct bmm__slot_link *slot, uintptr_t index)
{
    uint16_t *link = &list->links[index + 1]; /* before the marks, as the caller did: lest it be computed again */
    bmm__secure_mark(slot);
    bmm__secure_lead(list, link, index + 1);
}

/* 8 or more if there are that many, for they come in random order: one of fewer is soon guessed. Powers of two. */
static inline uint32_t bmm__list_new_count(uint32_t wanted, uint32_t room)
{
    uint32_t count = wanted < 8 ? 8 : wanted;
    count = count < room ? count : room;
    return 1u << (31 - __builtin_clz(count));
}
void bmm__list_put_new(struct bmm__list *list, uintptr_t first, uint32_t index, uint32_t count);

/* False: the list is empty, or its first slot is new or not as it should be; nothing was taken. */
static inline bool bmm__secure_try_take(struct bmm__list *list, struct bmm__slot_link **slot)
{
    int64_t first = bmm__load_operand(&list->free);
    if (BMM__UNLIKELY(first <= 0))
        return false;
    *slot = bmm__secure_slot(list, (uint32_t)first);
    if (!bmm__secure_is_marked(*slot))
        return false;
    uint16_t *link = &list->links[first];
    int64_t next = (int16_t)bmm__load_operand(link);
    bmm__store_relaxed(&list->free, next);
    bmm__signal_fence(); /* X3 */
    bmm__store_relaxed(link, (uint16_t)BMM__LINK_USED);
    return true;
}

static inline struct bmm__slot_link *bmm__list_take(struct bmm__list *list)
{
    int64_t first = list->free;
    struct bmm__slot_link *slot = bmm__secure_slot(list, bmm__link_number(first));
    if (first < 0) {
        if ((first & BMM__LINK_NO_NUMBER) != 0)
            bmm__secure_bad_link(list);
        bmm__secure_mark(slot);
        bmm__store_relaxed(&list->free, (int64_t)bmm__link_number(first));
    }
    if (!bmm__secure_try_take(list, &slot))
        bmm__secure_bad_slot(slot);
    return slot;
}

static inline void bmm__list_prefetch(const struct bmm__list *list)
{
    (void)list; /* nothing that is taken waits for the one before it */
}

static inline struct bmm__slot_link *bmm__list_walk(const struct bmm__list *list, const void **at)
{
    int64_t link =
        *at == NULL ? bmm__load_relaxed(&list->free) : (int64_t)(int16_t)bmm__load_relaxed((const uint16_t *)*at);
    if (link == 0)
        return NULL;
    *at = &list->links[bmm__link_number(link)];
    return bmm__secure_slot(list, bmm__link_number(link));
}

/* ---- out of use and back ---- */

static inline bool bmm__secure_is_used(const struct bmm__list *list, uintptr_t index)
{
    return bmm__load_operand(&list->links[index + 1]) == BMM__LINK_USED;
}

static inline bool bmm__list_may_free(const struct bmm__list *list, const void *slot, uintptr_t *index)
{
    uintptr_t number;
    bool is_slot = bmm__secure_number(list, slot, &number);
    *index = number - 1;
    return is_slot && BMM__LIKELY(bmm__secure_is_used(list, number - 1));
}

static inline void bmm__slot_retire_checked(const struct bmm__list *list, struct bmm__slot_link *slot, uintptr_t index)
{
    if (!bmm__secure_is_used(list, index))
        bmm__secure_bad_free(slot);
    bmm__secure_mark(slot);
}

static inline void bmm__slot_send(const struct bmm__list *list, struct bmm__slot_link *slot, uintptr_t index)
{
    if (bmm__exchange_acq_rel(&list->links[index + 1], (uint16_t)BMM__LINK_SENT) != BMM__LINK_USED)
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
    if (BMM__UNLIKELY(bmm__load_relaxed(&list->links[index + 1]) != BMM__LINK_SENT))
        bmm__secure_bad_batch(batch);
    __builtin_prefetch(slot, 1); /* as a plain list has it, which is written there */
    if (slot == batch) {
        if (!bmm__secure_is_marked_beside(slot))
            bmm__secure_bad_batch(batch);
        bmm__secure_mark(slot);
    }
}

static inline void bmm__slot_expect_sent(const struct bmm__list *list, uintptr_t index)
{
    if (BMM__UNLIKELY(bmm__load_relaxed(&list->links[index + 1]) != BMM__LINK_SENT))
        bmm__secure_bad_free(bmm__secure_slot(list, (uint32_t)index + 1));
}

static inline void bmm__slot_expect_carrier(const struct bmm__slot_link *slot)
{
    if (!bmm__secure_is_marked(slot))
        bmm__secure_bad_slot(slot);
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

static inline void bmm__slot_expect_used(const struct bmm__list *list, const void *slot)
{
    uintptr_t index;
    if (!bmm__list_may_free(list, slot, &index))
        bmm__secure_bad_free(slot);
}

static inline uint32_t bmm__list_inspect(const struct bmm__list *list)
{
    uint32_t count = 0;
    const void *at = NULL;
    for (int64_t link = list->free; link != 0; link = (int16_t)bmm__load_relaxed((const uint16_t *)at), count++) {
        const struct bmm__slot_link *slot = bmm__list_walk(list, &at);
        if ((link & (BMM__LINK_NEW | BMM__LINK_NO_NUMBER)) == (BMM__LINK_NEW | BMM__LINK_NO_NUMBER))
            bmm__secure_bad_link(list);
        if (link > 0 && !bmm__secure_is_marked(slot))
            bmm__secure_bad_slot(slot);
    }
    return count;
}

#endif
#endif
