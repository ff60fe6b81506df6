/* bmm__core_meta_alloc: bumped from chunks, never given back. */
#include "core/meta.h"

#include "core/client.h"
#include "core/lock.h"
#include "core/os.h"

#ifdef BMM_SECURE
#define GUARD BMM__GRANULE
#else
#define GUARD ((size_t)0)
#endif

void *bmm__meta_map(size_t bytes)
{
    if (GUARD == 0)
        return bmm__os_map(bytes, bmm__os_page_bytes());
    char *start = bmm__os_reserve(bytes + 2 * GUARD, BMM__GRANULE);
    if (start != NULL && !bmm__os_commit(start + GUARD, bytes)) {
        bmm__os_release(start, bytes + 2 * GUARD);
        start = NULL;
    }
    return start == NULL ? NULL : start + GUARD;
}

void bmm__meta_unmap(void *start, size_t bytes)
{
    bmm__os_release((char *)start - GUARD, bytes + 2 * GUARD);
}

BMM__LOCK(lock, BMM__RANK_META);
static char *chunk;
static size_t room;

void *bmm__core_meta_alloc(size_t bytes)
{
    bytes = (bytes + 63) & ~(size_t)63;
    if (bytes > BMM__GRANULE / 4)
        return bmm__meta_map((bytes + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1));
    bmm__lock_take(&lock);
    if (room < bytes) {
        char *fresh = bmm__meta_map(BMM__GRANULE);
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
