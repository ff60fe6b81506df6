/* Huge pages for blocks of several of them. A *unit* is the place of one huge page. The system is asked for them in the units
 * that such a block fills, and a block that little is missing to is made longer to fill its last one. Smaller blocks get none on our
 * wish: it is their span that would become larger for it, and the system would put back what was purged beside them. So the
 * wish stays with a unit, for the next huge block, until a smaller span comes there, or a block that does not fill it.
 *
 * A huge block keeps one set of properties from its first whole unit to its end, so that, beginning with a unit as nearly
 * all do, it is one mapping of the system, whose pages can change their addresses (os.h), until it has moved and grown again. What it has of the unit it ends
 * in is wished for with the rest of it, but only a whole unit can become a huge page:
 *
 *      unit            unit            unit            unit
 *      ├───────────────┼───────────────┼───────────────┼───────────────┤
 *              │ small │ huge block  ≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈│ small       ≈ wished for
 *                      └──── in the table ─────────────┘
 *
 * Invariants
 *  U1  A unit that is wished for from end to end is in the table (huge.c), and either free or in one huge block, or partly
 *      both while a call is at work on it.
 *  U2  Of any other unit no more than the beginning is wished for, never the last granule.
 * Does not know: a system that gives huge pages unasked (THP "always") does so also to small spans.
 */
#ifndef BMM_HUGE_H
#define BMM_HUGE_H

#include "core/span.h"

#define BMM__HUGE_BYTES ((size_t)2 << 20) /* of the usual size */

/* Whether a block of so many bytes should have them. */
static inline bool bmm__is_huge(size_t bytes)
{
    return bytes >= 2 * BMM__HUGE_BYTES;
}

/* Where a block should begin that is to be a multiple of align. */
static inline size_t bmm__huge_align(size_t bytes, size_t align)
{
    return bmm__is_huge(bytes) && align < BMM__HUGE_BYTES ? BMM__HUGE_BYTES : align;
}

/* Bytes of a block from start on that asked for so many: more if little is missing to fill the unit it ends in. */
size_t bmm__huge_fill(uintptr_t start, size_t bytes);

/* The span, of one huge block, is new, was made longer, or holds what was moved there. */
void bmm__huge_use(const struct bmm__span *span);

/* A huge block ends there now that was longer, and what is behind it is not given away yet. */
void bmm__huge_end(uintptr_t end);

/* Something smaller begins there, or what is there becomes smaller. */
void bmm__huge_leave(uintptr_t start, size_t bytes);

/* Nothing is mapped there any more: of what comes there next nothing is wished for. */
void bmm__huge_forget(uintptr_t start, size_t bytes);
#endif
