/* What heaps of the program's are made of (heap_object.h): a descriptor, and a heap with its bins.
 *
 *   descriptor ─► heap     16 of both at a time, and a pair stays one for ever
 *
 * A heap is some pages, of which a program that uses few classes touches two. Some of those
 * that were destroyed are kept as they are; of others the memory is given back, but for the descriptor, where the lock is. Where
 * a client keeps blocks of a destroyed one, its spans stay in it, and it is kept.
 */
#ifndef BMM_HEAP_OBJECT_POOL_H
#define BMM_HEAP_OBJECT_POOL_H

#include "core/heap_object.h"

/* One without live blocks; NULL: no memory. */
struct bmm_heap *bmm__object_pool_take(void);
/* The caller holds its lock no more, and has tidied its spans. */
void bmm__object_pool_give(struct bmm_heap *object);

#endif
