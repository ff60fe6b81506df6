/* Leaks that the program expects: single blocks are marked in their records; sizes and stacks stand in the snapshot, where the
 * report finds them; of a scope the thread remembers where it began, and its blocks are marked when it ends.
 *
 * Invariants
 *  E1  A mark ends with the block: also when it is resized. It is a bit of the private record, and a state of the mirror
 *      (BMM_SLOT_EXPECTED); to everything but the report the block is as live as any.
 */
#ifndef BMM_DEBUG_EXPECT_H
#define BMM_DEBUG_EXPECT_H

#include "core/client.h"

struct bmm__thread;

/* The client's. 0 or an errno. */
int bmm__expect_note(const struct bmm__expectation *expected);

/* Ends the thread's scope, if it has one: the thread itself ends, or the process. */
void bmm__expect_end_scope(struct bmm__thread *thread);

#endif
