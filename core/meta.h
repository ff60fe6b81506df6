/* Memory of our own: for tables and descriptors, not for blocks. */
#ifndef BMM_META_H
#define BMM_META_H

#include <stddef.h>

/* bytes (a multiple of the granule) that read as zero; in the secure variant between granules that fault. NULL: out of
 * memory. */
void *bmm__meta_map(size_t bytes);
void bmm__meta_unmap(void *start, size_t bytes);

#endif
