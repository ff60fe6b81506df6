/* The pool: heaps of threads that are gone, for threads to come. A heap goes in whole, *warm*: with the spans that it
 * allocates from, so that threads that come and go cost little. Few are kept so, and not for long: the others have given
 * back all they could.
 *
 *   pool ─► warm, the last one first ─► … ─► cold ─► …
 */
#ifndef BMM_HEAP_POOL_H
#define BMM_HEAP_POOL_H

#include "core/assert.h"
#include "core/heap.h"

/* A heap for the calling thread; NULL: out of memory. */
struct bmm__heap *bmm__heap_pool_take(bool has_client);
/* The calling thread ends; its heap becomes the dead one. */
void bmm__heap_pool_give(struct bmm__heap *heap, bool has_client);

/* How many are warm; for a look without a lock. */
extern uint32_t bmm__heap_pool_warm BMM__HIDDEN;
/* One of the warm heaps that were so in the pass before, too, lets go of some spans that it allocates from, or (is_all) of the warm
 * ones any gives back all it can. True: there was none left, and the pass is complete. One caller at a time. */
bool bmm__heap_pool_cool(bool is_all);

/* Every heap ever made for a thread, through all_next; none is ever taken away. */
struct bmm__heap *bmm__heap_pool_all(void);

/* In a forked child, where other threads are gone: their heaps go to the pool, but for those that were being changed when
 * the process was copied. */
void bmm__heap_pool_adopt(const struct bmm__heap *mine);

#endif
