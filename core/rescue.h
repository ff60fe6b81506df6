/* Before a malloc fails: free slots that the heap does not look for otherwise. A full span comes back when enough of it is free
 * (span.h), so under a limit there may be many slots free, and none to be had. */
#ifndef BMM_RESCUE_H
#define BMM_RESCUE_H

#include "core/heap.h"

/* Full spans of the heap's class that have a free slot, all of them, become available ones. Looks at every descriptor there is. Between
 * begin and end. */
void bmm__rescue(struct bmm__heap *heap, unsigned class_index);

#endif
