/* The last large blocks whose memory went back to the system. Their spans are gone, so the page map knows nothing of
 * them; but a second free of one is a double free and not a foreign pointer.
 *
 * Invariants
 *  G1  An entry whose address is not 0 is whole. Writers make it 0 first; a reader looks at it again after copying.
 */
#ifndef BMM_GRAVEYARD_H
#define BMM_GRAVEYARD_H

#include "record.h"

#include <stdbool.h>
#include <stdint.h>

void bmm__graveyard_bury(uintptr_t slot_start, const struct bmm__record *record); /* if it says FREE */

/* The most recently buried block that began at address. */
bool bmm__graveyard_find(uintptr_t address, struct bmm__record *record);

#endif
