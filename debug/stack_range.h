/* Which addresses of a stack may be read: what keeps a damaged stack or a wrong rule from crashing the program.
 *
 *      low        sp ──► walk goes up ──►         high
 *      ├── pages that were read or probed ────────┤ next page: probed once, when the walk gets there
 *
 * Nobody says where a stack ends: threads, coroutines and alternate stacks come and go unseen. So the range begins
 * as the page sp is in (we are running on it) and grows, page by page, by asking the kernel whether the next one can
 * be read. That is one system call per page of stack that a walk passes. Nothing of it is kept for the next walk: by then another
 * stack may be there, and end elsewhere.
 *
 * Invariants
 *  G1  Every page of [low, high) could be read in this walk.
 *  G2  The range has no hole, and only grows, or begins anew where sp is.
 */
#ifndef BMM_STACK_RANGE_H
#define BMM_STACK_RANGE_H

#include <stdbool.h>
#include <stdint.h>

struct bmm__stack_range {
    uintptr_t low, high;
};

/* Whether the byte at address can be read, by asking the kernel. Probing is exact only for now. */
bool bmm__range_is_readable(uintptr_t address);

/* The page of sp, which must be the stack pointer of running or probed code. */
void bmm__range_begin(struct bmm__stack_range *range, uintptr_t sp);

/* Whether [from, to) is in the range, after growing it upwards (or downwards) to there if its pages can be read.
 * False: they cannot, or lie unreasonably far away. */
bool bmm__range_reach(struct bmm__stack_range *range, uintptr_t from, uintptr_t to);

/* Where the pages end that lie at least partly below an address. */
uintptr_t bmm__range_page_end(uintptr_t address);

#endif
