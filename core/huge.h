/* Huge pages for blocks of several of them: a new such block begins with one (where one grows to, it takes the first place
 * that is long enough), and the system may put them behind all of it. Smaller blocks get none on our wish: it is their span
 * that would become larger for it, and the system would put back what was purged beside them. So the wish stays with the
 * place, for the next huge block, until a smaller one comes there: then it ends for that, and with it for the whole *unit*
 * (place of one huge page), of which only all can become one.
 *
 * A huge block keeps one set of properties from end to end, so that it stays one mapping of the system, whose pages can
 * change their addresses (os.h).
 *
 * Invariant: U1 a unit within which everything is wished for is in the table (huge.c).
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

/* The span, of one huge block, is new, was made longer, or holds what was moved there. */
void bmm__huge_use(const struct bmm__span *span);

/* Whether what begins at a multiple of BMM__HUGE_BYTES may be a huge page. */
bool bmm__huge_may_be(uintptr_t start);

/* Something smaller begins there. */
void bmm__huge_leave(uintptr_t start, size_t bytes);

#endif
