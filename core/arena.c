#include "core/arena.h"

#include "core/atomic.h"
#include "core/os.h"

#define ARENA_GRANULES_MAX 1024
#define WORDS (ARENA_GRANULES_MAX / 64)
#define ARENAS_MAX 65536
#define DIRTY_BYTES_MAX ((size_t)16 << 20)

struct arena {
    char *start;
    uint32_t granule_count;
    uint32_t hint;         /* word where the last search ended; any value is right */
    uint64_t used[WORDS];  /* acq_rel: whoever gets a granule sees what its last holder did to it */
    uint64_t dirty[WORDS]; /* free granules that may hold memory */
};

static struct arena *arenas[ARENAS_MAX]; /* published with release, in order */
static uint32_t arena_count;
static size_t dirty_bytes;

static uint64_t mask_of(unsigned count, unsigned at)
{
    return (count == 64 ? ~0ull : (1ull << count) - 1) << at;
}

static char *take(struct arena *arena, unsigned count)
{
    unsigned words = (arena->granule_count + 63) / 64, first = bmm__load_relaxed(&arena->hint);
    for (unsigned i = 0; i < words; i++) {
        unsigned word = (first + i) % words;
        uint64_t used = bmm__load_relaxed(&arena->used[word]);
        for (unsigned at = 0; at + count <= 64;) {
            uint64_t wanted = mask_of(count, at);
            if ((used & wanted) != 0) {
                at = 64 - (unsigned)__builtin_clzll(used & wanted);
                continue;
            }
            if (!bmm__cas_acq_rel(&arena->used[word], &used, used | wanted))
                continue; /* used now holds what is there */
            uint64_t was_dirty = bmm__and_acq_rel(&arena->dirty[word], ~wanted) & wanted;
            if (was_dirty != 0)
                bmm__sub_relaxed(&dirty_bytes, (size_t)__builtin_popcountll(was_dirty) * BMM__GRANULE);
            bmm__store_relaxed(&arena->hint, word);
            return arena->start + (word * 64 + at) * BMM__GRANULE;
        }
    }
    return NULL;
}

static bool add_arena(void)
{
    size_t bytes = (size_t)ARENA_GRANULES_MAX * BMM__GRANULE;
    void *start = NULL;
    /* The ladder: under a tight limit on address space a small arena is better than none. */
    for (; bytes >= BMM__ARENA_RUN_MAX; bytes /= 4)
        if ((bytes <= bmm__os_address_limit() / 8 || bytes <= 4 * BMM__ARENA_RUN_MAX) &&
            (start = bmm__os_map(bytes, BMM__GRANULE)) != NULL)
            break;
    if (start == NULL)
        return false;
    struct arena *arena = bmm__os_map(BMM__GRANULE, BMM__GRANULE);
    if (arena == NULL) {
        bmm__os_release(start, bytes);
        return false;
    }
    arena->start = start;
    arena->granule_count = (uint32_t)(bytes / BMM__GRANULE);
    for (unsigned granule = arena->granule_count; granule < ARENA_GRANULES_MAX; granule++)
        arena->used[granule / 64] |= 1ull << granule % 64;
    for (;;) {
        uint32_t count = bmm__load_acquire(&arena_count);
        struct arena *none = NULL;
        if (count == ARENAS_MAX) {
            bmm__os_release(arena, BMM__GRANULE);
            bmm__os_release(start, bytes);
            return false;
        }
        bool is_mine = bmm__cas_acq_rel(&arenas[count], &none, arena);
        bmm__cas_acq_rel(&arena_count, &count, count + 1); /* help, if another thread published but did not count */
        if (is_mine)
            return true;
    }
}

void *bmm__arena_alloc(size_t bytes)
{
    unsigned count = (unsigned)(bytes / BMM__GRANULE);
    static uint32_t last; /* where it was found last; any value is right */
    do {
        uint32_t total = bmm__load_acquire(&arena_count), first = bmm__load_relaxed(&last);
        for (uint32_t i = 0; i < total; i++) {
            uint32_t index = (first + i) % total;
            char *start = take(arenas[index], count);
            if (start != NULL) {
                if (index != first)
                    bmm__store_relaxed(&last, index);
                return start;
            }
        }
    } while (add_arena());
    return NULL;
}

static struct arena *arena_of(const char *start)
{
    uint32_t total = bmm__load_acquire(&arena_count);
    for (uint32_t i = 0; i < total; i++)
        if ((size_t)(start - arenas[i]->start) < (size_t)arenas[i]->granule_count * BMM__GRANULE)
            return arenas[i];
    return NULL;
}

void bmm__arena_free(void *start, size_t bytes)
{
    struct arena *arena = arena_of(start);
    size_t granule = (size_t)((char *)start - arena->start) / BMM__GRANULE;
    uint64_t mask = mask_of((unsigned)(bytes / BMM__GRANULE), granule % 64);
    /* Purged before the bits are cleared: afterwards the memory may be another thread's. */
    if (bmm__add_relaxed(&dirty_bytes, bytes) + bytes > DIRTY_BYTES_MAX) {
        bmm__os_purge(start, bytes);
        bmm__sub_relaxed(&dirty_bytes, bytes);
    } else {
        bmm__or_acq_rel(&arena->dirty[granule / 64], mask);
    }
    bmm__and_acq_rel(&arena->used[granule / 64], ~mask);
    bmm__store_relaxed(&arena->hint, (uint32_t)(granule / 64));
}

bool bmm__arena_trim(void)
{
    bool has_released = false;
    uint32_t total = bmm__load_acquire(&arena_count);
    for (uint32_t i = 0; i < total; i++)
        for (unsigned granule = 0; granule < arenas[i]->granule_count; granule++) {
            uint64_t bit = 1ull << granule % 64, *used = &arenas[i]->used[granule / 64];
            if ((bmm__load_relaxed(&arenas[i]->dirty[granule / 64]) & bit) == 0 ||
                (bmm__or_acq_rel(used, bit) & bit) != 0)
                continue; /* clean, or in use */
            if ((bmm__and_acq_rel(&arenas[i]->dirty[granule / 64], ~bit) & bit) != 0) {
                bmm__os_purge(arenas[i]->start + granule * BMM__GRANULE, BMM__GRANULE);
                bmm__sub_relaxed(&dirty_bytes, BMM__GRANULE);
                has_released = true;
            }
            bmm__and_acq_rel(used, ~bit);
        }
    return has_released;
}
