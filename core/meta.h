/* Memory of our own: for tables and descriptors, not for blocks. */
#ifndef BMM_META_H
#define BMM_META_H

#include "core/os.h"

#include <stddef.h>

/* On both sides of it, where an access faults. */
#ifdef BMM_SECURE
#define BMM__META_GUARD BMM__GRANULE
#else
#define BMM__META_GUARD ((size_t)0)
#endif

/* bytes (a multiple of the granule) that read as zero; in the secure variant between granules that fault. NULL: out of
 * memory. */
void *bmm__meta_map(size_t bytes);
void bmm__meta_unmap(void *start, size_t bytes);

#endif
