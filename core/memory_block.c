/* Memory blocks: nine sizes, each at a multiple of itself, so that a mask leads from any address inside to the start. */
#include "core/entry.h"

#include "core/client.h"
#include "core/run.h"

#include "brainmm/brainmm.h"
#include "brainmm/snapshot.h"

#include <errno.h>

/* 4 KiB · 16 KiB · 64 KiB · … · 256 MiB: powers of 4. */
static bool is_size(size_t size)
{
    return size >= BMM_MEMORY_BLOCK_BYTES_MIN && size <= BMM_MEMORY_BLOCK_BYTES_MAX && (size & (size - 1)) == 0 &&
           __builtin_ctzll(size) % 2 == 0;
}

void *bmm_memory_block_get(size_t size)
{
    if (!is_size(size)) {
        errno = EINVAL;
        return NULL;
    }
    return bmm__alloc_run(size, size, BMM__USE_MEMORY_BLOCK, BMM_KIND_MEMORY_BLOCK);
}

bool bmm_memory_block_free(void *block)
{
    return bmm__free_as(block, BMM__USE_MEMORY_BLOCK, BMM_KIND_MEMORY_BLOCK);
}
