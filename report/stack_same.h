/* Which stacks read the same: function, file, line and module of every frame. The compiler may make several calls of one
 * line of the source, at several addresses; to the reader they are one place. Where no line is known, the address is
 * all there is to tell places apart. */
#ifndef BMM_REPORT_STACK_SAME_H
#define BMM_REPORT_STACK_SAME_H

#include "report/frame.h"

/* Two hashes, which together are taken for what they are of; as the keys of frames are, of which there are thousands, not millions. */
struct bmm__stack_key {
    uint64_t a, b;
};

/* Equal for stacks that read the same, as far as their texts are interned in one report (P2), and equal seeds. */
struct bmm__stack_key bmm__stack_key(const struct bmm__stack *stack, uint64_t seed);
void bmm__stack_key_add(struct bmm__stack_key *key, uint64_t word);

#endif
