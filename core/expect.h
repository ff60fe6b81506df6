/* Leaks that the program expects, where no client looks after them: blocks and sizes, for the census at the end. (A client has
 * records, and knows stacks: debug/expect.c.) */
#ifndef BMM_EXPECT_H
#define BMM_EXPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the block, of which the census has just learned, is one that was expected. Each is told once. */
bool bmm__expect_takes(uintptr_t start, size_t slot_bytes);

#endif
