/* What a block's bytes are while they mean nothing: filled when it is new, poisoned when it is freed.
 *
 * Fill: 0xf1 in every byte. Poison: words 0xdead'bbbb'bbbb'bbbb, b: the block's address / 16, seven bits of it in each byte, the
 * lowest in the lowest. Both are non-canonical as pointers, so a dereference faults at once, and poison says in a register of the
 * fault which block it was. (Little-endian: the last bytes of a block get the first bytes of a word.)
 *
 * Invariants
 *  O1  At most BMM__POISON_BYTES_MAX from the block's start are written and verified.
 *  O2  Every byte of poison has its highest bit set: whoever writes a zero, or text, changes it.
 */
#ifndef BMM_POISON_H
#define BMM_POISON_H

#include "brainmm/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BMM__POISON_BYTES_MAX ((size_t)65536)

void bmm__poison_fill(uintptr_t start, size_t bytes); /* new bytes; at most the maximum from start */

void bmm__poison_lay(uintptr_t block, size_t size);
bool bmm__poison_is_intact(uintptr_t block, size_t size);
uint64_t bmm__poison_word(uintptr_t block);
uintptr_t bmm__poison_block(uint64_t word); /* the block of a word, but for bits above the 46th of its address */

/* As bmm__guard_changes. */
uint32_t bmm__poison_changes(uintptr_t block, size_t size, struct bmm_snapshot_changed *changed, uint32_t *listed);

#endif
