/* Blocks come to be: a slot of the core becomes a block with a record, guards and fill.
 *
 * leak:   │ block ………………… │             the slot as in production
 * check:  │ front │ block │ tail │      front = alignment; tail: to the slot's end, at least 16 bytes
 *
 * Invariants
 *  A1  A block is live (its record says so, release) only when guards and fill are laid; a record that was live is
 *      claimed before they change.
 *  A2  A process that is not settled writes no stack and no mirror; its blocks are recorded privately all the same.
 */
#ifndef BMM_BIRTH_H
#define BMM_BIRTH_H

#include "block.h"
#include "caller.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes to ask the core for; less than size: more than there can be. */
size_t bmm__birth_slot_bytes(size_t size, size_t align);

/* The slot at slot_start with its side, made if the process can. False: none to be had. */
bool bmm__birth_find(void *slot_start, struct bmm__block *block, bool is_settled);

/* The block in a slot that the core has just handed out, or that is claimed. fill_from: the first byte of the block
 * that is new to the program (size: none). */
void *bmm__birth_in(struct bmm__block *block, size_t size, size_t align, unsigned kind, size_t fill_from,
                    const struct bmm__caller *caller);

/* A new block. NULL: out of memory. */
void *bmm__birth_make(size_t size, size_t align, bool is_zeroed, unsigned kind, const struct bmm__caller *caller);

#endif
