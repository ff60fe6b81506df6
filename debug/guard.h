/* Guard bytes: what lies between a block and the ends of its slot, in check mode.
 *
 *   slot.start            block                 block + size             slot end
 *   ┌─────────────────────┬─────────────────────┬────────────────────────┐
 *   │ front guard, ≥ 16   │ the program's bytes │ tail guard, ≥ 16 bytes │
 *   └─────────────────────┴─────────────────────┴────────────────────────┘
 *
 * A guard byte is a function of its address and a secret of the process, so that a copy of a guard from elsewhere
 * is noticed too. Bytes are even and ≥ 0x80: never the 0 of a string's end, never text, never the 0xff of a memset.
 *
 * Invariants
 *  U1  Byte-exact at both ends: the first byte behind the requested size is a guard byte.
 *  U2  Nothing but the block's own slot is touched: a neighbour may be changing in another thread.
 */
#ifndef BMM_GUARD_H
#define BMM_GUARD_H

#include "brainmm/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BMM__GUARD_BYTES_MIN 16u   /* on each side */
#define BMM__GUARD_BYTES_MAX 4096u /* laid and checked on each side; what lies further away is not looked at */

void bmm__guard_open(void); /* takes the secret; raw system calls only */

void bmm__guard_lay(uintptr_t start, uintptr_t end);
bool bmm__guard_is_intact(uintptr_t start, uintptr_t end);
uint8_t bmm__guard_byte(uintptr_t address);

/* Which bytes of what should have been there differ: appended to changed while there is room (*listed of
 * BMM_ERROR_CHANGED_MAX), with offsets from block. Returns how many differ in all. */
uint32_t bmm__guard_changes(uintptr_t start, uintptr_t end, uintptr_t block, struct bmm_snapshot_changed *changed,
                            uint32_t *listed);

/* One more changed byte, for whoever compares (guard.c, poison.c). */
void bmm__changed_add(struct bmm_snapshot_changed *changed, uint32_t *listed, int64_t offset, uint8_t expected,
                      uint8_t found);

#endif
