/* Huge pages for blocks of several of them: such a block begins with one, and the system may put them behind all of it.
 * Smaller blocks never get any on our wish: it is their span that would become larger for it.
 *
 * A block keeps one set of properties from end to end, so that it stays one mapping of the system, whose pages can
 * change their addresses (os.h).
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

/* The span, of one huge block, is new or was made longer. */
void bmm__huge_use(const struct bmm__span *span);

#endif
