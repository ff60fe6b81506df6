/* What spans and runs take, summed up as they come and go: never on a fast path. A *line* is a size class, or a kind of block.
 *
 *   lines   │ class 0 │ … │ class 71 │ kind 1 │ … │ kind 6 │      a class counts for its kind as well
 */
#ifndef BMM_TALLY_H
#define BMM_TALLY_H

#include "core/size_class.h"

#include "brainmm/brainmm.h"

#include <stddef.h>
#include <stdint.h>

#define BMM__TALLY_KIND(kind) ((unsigned)(BMM__CLASS_COUNT - 1) + (unsigned)(kind)) /* kinds begin with 1 */
#define BMM__TALLY_COUNT (BMM__TALLY_KIND(BMM_MEMORY_KIND_LAST) + 1)

struct bmm__tally {
    size_t taken_bytes, returned_bytes; /* so far */
    size_t peak_bytes;                  /* of their difference */
};

extern struct bmm__tally bmm__tallies[BMM__TALLY_COUNT]; /* relaxed */

void bmm__tally_add(unsigned line, size_t bytes);
void bmm__tally_sub(unsigned line, size_t bytes);

/* Of a class, and with it of its kind. */
void bmm__tally_add_class(unsigned class_index, size_t bytes);
void bmm__tally_sub_class(unsigned class_index, size_t bytes);

static inline unsigned bmm__tally_kind_of_class(unsigned class_index)
{
    return class_index < BMM__TINY_CLASS_COUNT ? BMM_MEMORY_SMALL : BMM_MEMORY_MEDIUM;
}

#endif
