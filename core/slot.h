/* A free slot, and what is written in it. Everybody who links free slots, or takes one, does it with these functions, so
 * that the secure variant (secure.h) can seal, scramble and check what a plain one only reads.
 *
 *   local list:    next ─► the next free slot
 *   remote chain:  a *batch* in one of its slots: index + 1 of the next batch's slot (0: none), count, indices of the others
 *
 * key is that of the span whose slot it is (bmm__list_key).
 *
 * A batch names its slots, instead of linking them, so that who takes them over need not wait for one to find the next:
 * each would be a miss in his cache.
 */
#ifndef BMM_SLOT_H
#define BMM_SLOT_H

#include "core/atomic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef BMM_SECURE
#include "core/secure.h"
#else

struct bmm__slot_link {
    struct bmm__slot_link *next; /* the first word of a free slot */
};

/* A free slot's next one. */
static inline struct bmm__slot_link *bmm__slot_next(const struct bmm__slot_link *slot)
{
    return bmm__load_relaxed(&slot->next);
}

/* Links a free slot. */
static inline void bmm__slot_link(struct bmm__slot_link *slot, struct bmm__slot_link *next, uintptr_t key)
{
    (void)key;
    slot->next = next;
}

/* ---- batches ---- */

struct bmm__batch {
    uint16_t next, count;
    uint16_t others[];
};

/* How many slots besides its own a batch can name. */
static inline uint32_t bmm__batch_room(uint32_t slot_bytes)
{
    return (slot_bytes - (uint32_t)sizeof(struct bmm__batch)) / 2;
}

static inline uint16_t *bmm__batch_others(struct bmm__slot_link *slot)
{
    return ((struct bmm__batch *)(void *)slot)->others;
}

/* Of others as many as the caller has written or will write. */
static inline void bmm__batch_write(struct bmm__slot_link *slot, uint32_t next, uint32_t count, uintptr_t key)
{
    (void)key;
    struct bmm__batch *batch = (struct bmm__batch *)(void *)slot;
    bmm__store_relaxed(&batch->next, (uint16_t)next);
    bmm__store_relaxed(&batch->count, (uint16_t)count);
}

/* Returns next. */
static inline uint32_t bmm__batch_read(struct bmm__slot_link *slot, uint32_t *count, uintptr_t key)
{
    (void)key;
    const struct bmm__batch *batch = (const struct bmm__batch *)(void *)slot;
    *count = bmm__load_relaxed(&batch->count);
    return bmm__load_relaxed(&batch->next);
}

/* A slot in use, as far as its caller knows, is about to be named by a batch, or to carry one. */
static inline void bmm__slot_send(struct bmm__slot_link *slot)
{
    (void)slot;
}
/* Its owner has found it named by the batch, or carrying it, and links it next. */
static inline void bmm__slot_receive(struct bmm__slot_link *slot, const struct bmm__slot_link *batch)
{
    (void)slot, (void)batch;
}

/* Stop the program where it is known that the batch names no slot of so many, or that a list of that length cannot be one of
 * so many slots. */
static inline void bmm__slot_expect_index(const struct bmm__slot_link *batch, uint32_t index, uint32_t count)
{
    (void)batch, (void)index, (void)count;
}
static inline void bmm__slot_expect_list_of(uint32_t length, uint32_t count, const void *slot)
{
    (void)length, (void)count, (void)slot;
}

/* ---- in and out of use ---- */

/* A slot at the head of a local list is to be handed out: returns the next one, which becomes the head; and then: it is in
 * use. _shown: what malloc's fast path sees; false: it is not as it should be; *state: for _use_shown. */
static inline struct bmm__slot_link *bmm__slot_take(struct bmm__slot_link *slot, uintptr_t key)
{
    (void)key;
    return slot->next;
}
static inline bool bmm__slot_take_shown(struct bmm__slot_link *slot, struct bmm__slot_link **next, uint8_t **state,
                                        uintptr_t key)
{
    (void)key;
    *state = NULL;
    *next = slot->next;
    return true;
}
static inline void bmm__slot_use(struct bmm__slot_link *slot)
{
    (void)slot;
}
static inline void bmm__slot_use_shown(struct bmm__slot_link *slot, uint8_t *state)
{
    (void)slot, (void)state;
}

/* A slot in use, whose state bmm__page_map_look has found, becomes a free one by its owner; it may be linked then. */
static inline void bmm__slot_retire(uint8_t *state)
{
    (void)state;
}

/* The same for what its owner wants to free and nobody has looked at. */
static inline void bmm__slot_retire_checked(struct bmm__slot_link *slot)
{
    (void)slot;
}

/* Stops the program if the slot is a free one, where that is known. */
static inline void bmm__slot_expect_used(const void *slot)
{
    (void)slot;
}

#endif
#endif
