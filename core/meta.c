/* bmm__core_meta_alloc: bumped from chunks, never given back. Side by side, also what is not small: in a mapping of its own each table
 * takes whole granules of address space, of which it may use a quarter. */
#include "core/meta.h"

#include "core/client.h"
#include "core/lock.h"
#include "core/os.h"

#define GUARD BMM__META_GUARD

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

#define CHUNK_MAX (GUARD == 0 ? (size_t)2 << 20 : BMM__GRANULE)

BMM__LOCK(lock, BMM__RANK_META);
static char *chunk;
static size_t room;
static size_t next_bytes = BMM__GRANULE; /* of a chunk: a small process has a small one */

static size_t whole_granules(size_t bytes)
{
    return (bytes + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
}

/* Under lock. False: out of memory. */
static bool make_room(size_t bytes)
{
    size_t wanted = next_bytes > bytes ? next_bytes : whole_granules(bytes);
    char *fresh = bmm__meta_map(wanted);
    if (fresh == NULL && (fresh = bmm__meta_map(wanted = whole_granules(bytes))) == NULL)
        return false;
    chunk = fresh;
    room = wanted;
    next_bytes = wanted < CHUNK_MAX / 2 ? 2 * wanted : CHUNK_MAX;
    return true;
}

void *bmm__core_meta_alloc(size_t bytes)
{
    bytes = (bytes + 63) & ~(size_t)63;
    if (bytes > CHUNK_MAX / 4)
        return bmm__meta_map(whole_granules(bytes));
    bmm__lock_take(&lock);
    void *start = room >= bytes || make_room(bytes) ? chunk : NULL;
    if (start != NULL) {
        chunk += bytes;
        room -= bytes;
    }
    bmm__lock_release(&lock);
    return start;
}
