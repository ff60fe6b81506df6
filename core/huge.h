/* Huge pages for blocks of several of them: a new such block begins with one (where one grows to, it
 * takes the first place that is long enough), and the system may put them behind all of it.
 * Smaller blocks get none on our wish, but for those that are there already: it is their span that would become larger for it,
 * and the system would put back what was purged beside them. So the wish ends with the block.
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

/* The span, of one huge block, is new, was made longer, or holds what was moved there. */
void bmm__huge_use(const struct bmm__span *span);

/* Of such a span of granules what lies from there on is about to be given back, or to be part of no huge block any more: the
 * next ones there get no huge pages for it. */
void bmm__huge_end(const struct bmm__span *span, uintptr_t from);

#endif
