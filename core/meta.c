/* Memory for our own tables: bumped from chunks, never given back. */
#include "core/client.h"
#include "core/lock.h"
#include "core/os.h"

static struct bmm__lock lock = BMM__LOCK_INIT(BMM__RANK_META);
static char *chunk;
static size_t room;

void *bmm__core_meta_alloc(size_t bytes)
{
    bytes = (bytes + 63) & ~(size_t)63;
    if (bytes > BMM__GRANULE / 4)
        return bmm__os_map((bytes + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1), BMM__GRANULE);
    bmm__lock_take(&lock);
    if (room < bytes) {
        char *fresh = bmm__os_map(BMM__GRANULE, BMM__GRANULE);
        if (fresh == NULL) {
            bmm__lock_release(&lock);
            return NULL;
        }
        chunk = fresh;
        room = BMM__GRANULE;
    }
    void *start = chunk;
    chunk += bytes;
    room -= bytes;
    bmm__lock_release(&lock);
    return start;
}
