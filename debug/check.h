/* Verification: of one block, and of all there are.
 *
 * Invariants
 *  V1  A slot is looked at only while it is claimed, so that its memory cannot go and its guards are at rest; also
 *      when other threads run on during the verification at exit.
 *  V2  What was found changed is restored after it was reported: the same damage is reported once.
 */
#ifndef BMM_CHECK_H
#define BMM_CHECK_H

#include "brainmm/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bmm__block;

/* Lays both guards of a claimed block whose record says check. */
void bmm__check_lay_guards(const struct bmm__block *block);

/* Verifies the guards of a claimed block (any mode of birth). True: intact. */
bool bmm__check_live(const struct bmm__block *block, enum bmm_error_moment moment, uint32_t detected_stack,
                     unsigned free_kind);

/* Verifies poison and guards of a claimed block that was in quarantine. True: intact. */
bool bmm__check_freed(const struct bmm__block *block, enum bmm_error_moment moment);

/* Every live block and all poison there is, but for blocks that somebody is at work on who does not come to an end: *skipped
 * (may be NULL) is their number. Returns how many blocks were damaged. */
size_t bmm__check_all(enum bmm_error_moment moment, size_t *skipped);

#endif
