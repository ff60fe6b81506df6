/* The numbered invariants of spans, heaps, run maps and JIT heaps, as functions: tests and validating builds call them. Each wants
 * the threads that use what it looks at to stand still, walks everything, and says what is wrong by name. */
#ifndef BMM_VALID_H
#define BMM_VALID_H

#include "core/heap.h"
#include "core/jit.h"
#include "core/run_map.h"

/* NULL: valid; else which invariant is broken. */
const char *bmm__heap_invalid(struct bmm__heap *heap);
const char *bmm__run_map_invalid(const struct bmm__run_map *map);
const char *bmm__jit_invalid(const struct bmm_jit_heap *heap);

#endif
