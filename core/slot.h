/* A free slot, and what is written in it. Everybody who links free slots, or takes one, does it with these functions, so
 * that the secure variant (secure.h) can seal, scramble and check what a plain one only reads.
 *
 *   local list:  next ─► the next free slot           remote chain and outbox: next = index + 1 of the next; 0: the last
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
static inline void bmm__slot_link(struct bmm__slot_link *slot, struct bmm__slot_link *next)
{
    slot->next = next;
}

/* The same with an index; others may still read what was there. */
static inline uint32_t bmm__slot_next_index(const struct bmm__slot_link *slot)
{
    return (uint32_t)(uintptr_t)bmm__load_relaxed(&slot->next);
}
static inline void bmm__slot_link_index(struct bmm__slot_link *slot, uint32_t next_index)
{
    bmm__store_relaxed(&slot->next, (struct bmm__slot_link *)(uintptr_t)next_index); /* NOLINT */
}

/* Takes a slot off the head of a local list, to hand it out. Returns the next one. _shown: what malloc's fast path sees. */
static inline struct bmm__slot_link *bmm__slot_take(struct bmm__slot_link *slot)
{
    return slot->next;
}
static inline struct bmm__slot_link *bmm__slot_take_shown(struct bmm__slot_link *slot)
{
    return slot->next;
}

/* A slot in use, as bmm__page_map_look has found, becomes a free one by its owner; it may be linked then. */
static inline void bmm__slot_retire(struct bmm__slot_link *slot)
{
    (void)slot;
}

/* The same for what anybody wants to free and nobody has looked at. */
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
