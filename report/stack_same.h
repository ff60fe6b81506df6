/* Which stacks read the same: function, file, line and module of every frame. The compiler may make several calls of one
 * line of the source, at several addresses; to the reader they are one place. Where no line is known, the address is
 * all there is to tell places apart. */
#ifndef BMM_REPORT_STACK_SAME_H
#define BMM_REPORT_STACK_SAME_H

#include "report/frame.h"

/* Equal for stacks that read the same, as far as their texts are interned in one report (P2). Of two seeds the two
 * results together are taken for the stack itself. */
uint64_t bmm__stack_hash(const struct bmm__stack *stack, uint64_t seed);

#endif
