/* From a pointer to the block it means: the one place where a value from outside becomes a fact.
 *
 * Words. *Front*: bytes between the slot's start and the block; 0 under leak, at least 16 and a multiple of the
 * alignment under check.
 *
 * Invariants
 *  K1  Whoever has a struct bmm__block with is_claimed owns the slot (its record is BUSY) until it settles it: keeps
 *      it live, or gives it up.
 *  K2  The order of judgement is pointer, state, start; kinds and guards come after that.
 */
#ifndef BMM_BLOCK_H
#define BMM_BLOCK_H

#include "record.h"

#include "core/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bmm__block_is {
    BMM__BLOCK_LIVE,       /* the address is the start of a live block */
    BMM__BLOCK_INTERIOR,   /* in the slot of a live or freed block, but not its start */
    BMM__BLOCK_FREED,      /* the start of a block that is not live any more; slot is its last one */
    BMM__BLOCK_GONE,       /* the same, of a large block whose memory went back; only record is known */
    BMM__BLOCK_BUSY,       /* the start of a block that another call is at work on, for too long to wait for its end */
    BMM__BLOCK_UNRECORDED, /* a slot of a span without records (the tables could not be made) */
    BMM__BLOCK_FOREIGN     /* none of ours */
};

struct bmm__block {
    struct bmm__slot slot;
    struct bmm__side *side;
    struct bmm__record *record; /* in the side, or &gone */
    uintptr_t start;
    struct bmm__record gone;
};

static inline size_t bmm__record_align(const struct bmm__record *record)
{
    return (size_t)1 << record->align_log2;
}

static inline size_t bmm__block_front(const struct bmm__record *record)
{
    return record->mode == BMM_MODE_CHECK ? bmm__record_align(record) : 0;
}

static inline size_t bmm__block_size(const struct bmm__block *block)
{
    return (size_t)bmm__record_size(block->record);
}

/* What the program may use of it, and finds again after a realloc: under check what it asked for, up to the guard. */
static inline size_t bmm__block_usable(const struct bmm__block *block)
{
    return block->record->mode == BMM_MODE_CHECK ? bmm__block_size(block) : block->slot.bytes;
}

/* What an UNRECORDED block holds: its slot, from p on. */
static inline size_t bmm__block_held(const struct bmm__block *block, const void *p)
{
    return block->slot.start + block->slot.bytes - (uintptr_t)p;
}

/* What address is. Everything but FOREIGN fills *block. */
enum bmm__block_is bmm__block_find(uintptr_t address, struct bmm__block *block);

/* LIVE: and the block is claimed (K1). Anything else: as find. */
enum bmm__block_is bmm__block_claim(uintptr_t address, struct bmm__block *block);

/* Slots that are not in use for the program: the claimed block is live again, unchanged or with what its record says
 * now. */
void bmm__block_unclaim(struct bmm__block *block);

/* Ends a claimed block: its slot goes back to the core. */
static inline void bmm__block_give_back(const struct bmm__block *block, bool mirrors)
{
    if (mirrors)
        bmm__record_mirror(block->side, block->slot.index, block->record, BMM_SLOT_FREE);
    /* Before the core has it: the next moment the slot may be another thread's new block. */
    bmm__store_release(&block->record->state, (uint8_t)BMM_SLOT_FREE);
    bmm__core_free_slot(&block->slot);
}

/* A slot that leaves the quarantine: poison and guards are verified, then it is given back. Returns slot bytes. */
size_t bmm__block_retire(uintptr_t slot_start);

#endif
