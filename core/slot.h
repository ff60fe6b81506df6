/* Free slots, and what is written in them. Everybody who puts slots on a list, or takes one, does it with these functions, so
 * that the secure variant (secure.h) can keep elsewhere, and check, what a plain one has in the slots.
 */
#ifndef BMM_SLOT_H
#define BMM_SLOT_H

#include "core/assert.h"
#include "core/atomic.h"
#include "core/batch.h"
#include "core/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef BMM_SECURE
#include "core/secure.h"
#else

struct bmm__slot_link {
    struct bmm__slot_link *next; /* the first word of a free slot */
};

/* ---- lists ---- */

static inline bool bmm__list_is_empty(const struct bmm__list *list)
{
    return list->free == NULL;
}

static inline void bmm__list_clear(struct bmm__list *list)
{
    bmm__store_relaxed(&list->free, NULL);
}

/* list stands for a span's own one, which shall not be used meanwhile; and no longer, if it is cleared then. */
static inline void bmm__list_stand_for(struct bmm__list *list, const struct bmm__list *own)
{
    bmm__store_relaxed(&list->free, own->free);
}
static inline void bmm__list_stand_back(const struct bmm__list *list, struct bmm__list *own)
{
    bmm__store_relaxed(&own->free, list->free);
}

/* A free slot, which has the index in its span, becomes the first of the list. */
static inline void bmm__list_put(struct bmm__list *list, struct bmm__slot_link *slot, uintptr_t index)
{
    (void)index;
    slot->next = list->free;
    list->free = slot;
}

/* Slots that were never used become the first of the list: count of them from first on, where the slot with that index is. How
 * many that is best, if about so many are wanted and there are room, 1 or more. */
static inline uint32_t bmm__list_new_count(uint32_t wanted, uint32_t room)
{
    wanted = wanted < 1 ? 1 : wanted;
    return wanted < room ? wanted : room;
}
static inline void bmm__list_put_new(struct bmm__list *list, uintptr_t first, uint32_t index, uint32_t count)
{
    (void)index;
    uintptr_t slot = first, slot_bytes = list->slot_bytes, last = first + (count - 1) * slot_bytes;
    while (slot != last) { /* upwards, as memory is fetched ahead */
        uintptr_t next = slot + slot_bytes;
        ((struct bmm__slot_link *)slot)->next = (struct bmm__slot_link *)next; /* NOLINT */
        slot = next;
    }
    ((struct bmm__slot_link *)last)->next = list->free; /* NOLINT */
    list->free = (struct bmm__slot_link *)first;        /* NOLINT */
}

/* Takes the first of a list that is not empty. It is in use. */
static inline struct bmm__slot_link *bmm__list_take(struct bmm__list *list)
{
    struct bmm__slot_link *slot = list->free;
    bmm__store_relaxed(&list->free, slot->next);
    return slot;
}

/* A slot will soon be taken. */
static inline void bmm__list_prefetch(const struct bmm__list *list)
{
    __builtin_prefetch(list->free, 1);
}

/* The slots of a list, one after the other: *at is NULL before the first. NULL: there are no more. */
static inline struct bmm__slot_link *bmm__list_walk(const struct bmm__list *list, const void **at)
{
    const struct bmm__slot_link *before = *at;
    struct bmm__slot_link *slot = bmm__load_relaxed(before == NULL ? &list->free : &before->next);
    *at = slot;
    return slot;
}

/* ---- out of use and back ---- */

/* Whether what lies at the address may be freed by the owner of the list, as far as that is known at once; the slot's
 * index. */
static inline bool bmm__list_may_free(const struct bmm__list *list, const void *slot, uintptr_t *index)
{
    (void)list, (void)slot;
    *index = 0;
    return true;
}

/* A slot of the list's span, of which nobody has asked whether it may be freed, becomes a free one by its owner, who puts it on the
 * list then. */
static inline void bmm__slot_retire_checked(const struct bmm__list *list, struct bmm__slot_link *slot, uintptr_t index)
{
    (void)list, (void)slot, (void)index;
}

/* A slot in use, as far as its caller knows, is about to be named by a batch, or to carry one. */
static inline void bmm__slot_send(const struct bmm__list *list, struct bmm__slot_link *slot, uintptr_t index)
{
    (void)list, (void)slot, (void)index;
}

/* The slot that a batch names, or that carries it (whose batch is not needed any more), goes to its span's owner, who puts it
 * on a list. */
static inline void bmm__slot_receive(const struct bmm__list *list, struct bmm__slot_link *slot, uintptr_t index,
                                     const struct bmm__slot_link *batch)
{
    (void)list, (void)slot, (void)index, (void)batch;
}

/* Stop the program where it is known that something is wrong: with a slot that was sent and is about to be named by a batch,
 * or to carry it; with a batch that says it names so many slots, or that slot of
 * so many; with the chain, if so many slots still wait, and there is one more batch or not; or with what is reallocated. */
static inline void bmm__slot_expect_sent(const struct bmm__list *list, uintptr_t index)
{
    (void)list, (void)index;
}
static inline void bmm__slot_expect_carrier(const struct bmm__slot_link *slot)
{
    (void)slot;
}
static inline void bmm__slot_expect_count(const struct bmm__slot_link *batch, uint32_t count, uint32_t slot_bytes)
{
    (void)batch, (void)count, (void)slot_bytes;
}
static inline void bmm__slot_expect_index(const struct bmm__slot_link *batch, uint32_t index, uint32_t count)
{
    (void)batch, (void)index, (void)count;
}
static inline void bmm__slot_expect_waiting(const struct bmm__slot_link *batch, uint32_t count, bool is_more)
{
    (void)batch, (void)count, (void)is_more;
}
static inline void bmm__slot_expect_used(const struct bmm__list *list, const void *slot)
{
    (void)list, (void)slot;
}

/* How many slots the list has, each of which is looked at. */
static inline uint32_t bmm__list_inspect(const struct bmm__list *list)
{
    uint32_t count = 0;
    const void *at = NULL;
    while (bmm__list_walk(list, &at) != NULL)
        count++;
    return count;
}

#endif
#endif
