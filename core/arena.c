#include "core/arena.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/huge.h"
#include "core/lock.h"
#include "core/meta.h"
#include "core/os.h"
#include "core/purge.h"
#include "core/run_map.h"
#include "core/secure_span.h"
#include "core/window.h"

#include <string.h>

#define ARENA_GRANULES_MAX 1024u
#define WORDS (ARENA_GRANULES_MAX / 64)
#define ARENAS_MAX 65536
#define KEPT_BYTES ((size_t)64 << 20)
#define UNMAPPED_AT_ONCE 16u           /* some 20 us each */
#define CHOICE_BYTES ((size_t)1 << 20) /* blocks of more can as well be mappings */
#define MATTERS_PART 64u               /* a limit of less than so many of the largest arenas makes waste matter */
#define WASTE_PART 8u                  /* of an arena, that may be of no use */
#define PAUSES 2000u                   /* some 50 us: a thread looks at one span after another */
#define NAPS 8u
#define MOVED_MAX 4096u /* runs that something was moved to and that are left as they are: each may be a mapping */

/* Outside the window. A granule of its own, behind which the secure variant has tables. */
struct arena {
    struct bmm__run_map map; /* no units, all of them held: it is *unmapped*, and waits for one of as many bytes (A1) */
    size_t bytes;
    uint64_t used[WORDS], dirty[WORDS], aged[WORDS];
};

size_t bmm__arena_used_bytes;
uint32_t bmm__arena_lookers;

BMM__LOCK(lock, BMM__RANK_ARENA_OUTSIDE);
static struct arena *arenas[ARENAS_MAX] BMM__TABLE; /* under lock; read below arena_count */
static uint32_t arena_count;                        /* under lock; release when there is one more */
/* How often one could be had that could not be had before: it was made, or was held to be unmapped, and is not. Likewise. */
static uint32_t offered_count;

static struct bmm__run_map *map_at(uint32_t index) /* 0: the window */
{
    return index == 0 ? &bmm__window_map : &arenas[index - 1]->map;
}

static void *take(struct bmm__run_map *map, uint32_t count, uint32_t align, bool *is_zero)
{
    uint32_t dirty_count, index = bmm__run_map_take(map, count, align, &dirty_count);
    if (index == BMM__RUN_NONE)
        return NULL;
    bmm__add_relaxed(&bmm__arena_used_bytes, (size_t)count << BMM__GRANULE_SHIFT);
    *is_zero = dirty_count == 0;
    return (void *)(bmm__load_relaxed(&map->start) + ((uintptr_t)index << BMM__GRANULE_SHIFT)); /* NOLINT */
}

/* Under lock. NULL: none is unmapped that had so many. */
static struct arena *find_unmapped(size_t bytes)
{
    for (uint32_t i = 0; i < arena_count; i++)
        if (arenas[i]->bytes == bytes && bmm__load_relaxed(&arenas[i]->map.unit_count) == 0)
            return arenas[i];
    return NULL;
}

/* The tables of one that is to have so many: all units are held. Under lock. */
static struct arena *make_tables(size_t bytes)
{
    struct arena *arena = arena_count == ARENAS_MAX ? NULL : bmm__meta_map(BMM__GRANULE + bmm__secure_bytes(bytes));
    if (arena == NULL)
        return NULL;
    arena->bytes = bytes;
    arena->map = (struct bmm__run_map){
        .unit_shift = BMM__GRANULE_SHIFT, .used = arena->used, .dirty = arena->dirty, .aged = arena->aged
    };
    memset(arena->used, 0xff, sizeof arena->used);
    arenas[arena_count] = arena;
    bmm__store_release(&arena_count, arena_count + 1);
    return arena;
}

/* Who found no room waits for the lock, and then looks again. Under lock. */
static void count_offer(void)
{
    bmm__store_release(&offered_count, offered_count + 1);
}

/* From now on it has so many units, all of them free; they are held. Under lock. */
static void offer(struct bmm__run_map *map, uint32_t count, bool is_dirty)
{
    bmm__store_release(&map->unit_count, count); /* release: who sees units sees where they are */
    bmm__run_map_give(map, 0, count, is_dirty);
    count_offer();
}

/* What the process may have of addresses or of memory, whichever is less. */
static uint64_t limit(void)
{
    uint64_t addresses = bmm__os_address_limit(), data = bmm__os_data_limit();
    return addresses < data ? addresses : data;
}

/* Whether of an arena much would be of no use to blocks of so many bytes: they are as well each a mapping. What is smaller has no such
 * choice, nor an area for page runs, of which nothing is wasted. */
static bool is_waste(size_t arena_bytes, size_t bytes, size_t align)
{
    size_t step = (bytes + align - 1) & ~(align - 1), count = (arena_bytes - bytes) / step + 1;
    return bytes > CHOICE_BYTES && arena_bytes - count * bytes > arena_bytes / WASTE_PART;
}

/* An arena outside the window that can hold bytes and begins at a multiple of align. The ladder: under a tight limit on address
 * space a small one is better than none. Under lock. */
static bool make_arena(size_t bytes_min, size_t align)
{
    size_t bytes = (size_t)ARENA_GRANULES_MAX << BMM__GRANULE_SHIFT;
    struct arena *arena = NULL;
    void *start = NULL;
    uint64_t most = limit();
    bool is_tight = most / MATTERS_PART < bytes;
    for (; bytes >= bytes_min; bytes /= 4) {
        if ((bytes > most / 8 && bytes / 4 >= bytes_min) || (is_tight && is_waste(bytes, bytes_min, align)))
            continue;
        start = bmm__os_map(bytes, align);
        arena = start == NULL ? NULL : find_unmapped(bytes);
        if (arena == NULL && start != NULL)
            arena = make_tables(bytes);
        if (arena != NULL)
            break;
        if (start != NULL)
            bmm__os_release(start, bytes);
    }
    if (arena == NULL)
        return false;
    uint32_t count = (uint32_t)(bytes >> BMM__GRANULE_SHIFT);
    bmm__store_relaxed(&arena->map.start, (uintptr_t)start);
    offer(&arena->map, count, false);
    return true;
}

/* True: more were made than the `seen` that were looked at. Another thread may have made one meanwhile, and with it taken all the
 * address space there was. */
static bool add_arena(size_t bytes, size_t align, uint32_t seen)
{
    bmm__lock_take(&lock);
    bool is_more = offered_count != seen || make_arena(bytes, align);
    bmm__lock_release(&lock);
    return is_more;
}

/* Whether it would be much work for the system to unmap it; a guess. */
static bool has_dirty(const struct arena *arena)
{
    uint64_t dirty = 0;
    for (unsigned i = 0; i < WORDS; i++)
        dirty |= bmm__load_relaxed(&arena->dirty[i]);
    return dirty != 0;
}

/* Whether nobody looks, once at least, after the caller has taken what there is to be looked at: who begins then finds nothing. Who
 * looks may wait for a processor, or for the caller, a signal handler: so it is not waited for for long. */
static bool is_left_alone(unsigned *naps_left)
{
    bmm__full_fence();
    for (unsigned pauses = PAUSES; bmm__load_acquire(&bmm__arena_lookers) != 0;) {
        if (*naps_left == 0)
            return false;
        if (pauses != 0) {
            pauses--;
            bmm__pause();
        } else {
            --*naps_left;
            bmm__os_nap();
        }
    }
    return true;
}

/* Whether it was empty, unmapped now or, where that is refused or somebody looks, to be had again. Under lock. */
static bool unmap_if_empty(struct arena *arena, unsigned *naps_left)
{
    struct bmm__run_map *map = &arena->map;
    void *start = (void *)map->start; /* NOLINT */
    uint32_t dirty_count, count = map->unit_count;
    if (count == 0 || bmm__run_map_free_at(map, 0, count) < count)
        return false;
    if (!bmm__run_map_take_all(map, &dirty_count)) {
        count_offer(); /* what of it was held for a moment */
        return false;
    }
    if (is_left_alone(naps_left)) {
        bmm__store_release(&map->unit_count, 0u);
        if (bmm__os_release(start, arena->bytes)) {
            bmm__huge_forget(map->start, arena->bytes);
            return true;
        }
    }
    offer(map, count, dirty_count != 0 && !bmm__os_purge(start, arena->bytes));
    return true;
}

void bmm__arena_unmap_empty(bool is_all)
{
    static uint32_t next; /* what is kept again and again is not to be in the way of others */
    uint32_t total = bmm__load_acquire(&arena_count), left = is_all ? total : UNMAPPED_AT_ONCE;
    unsigned naps_left = is_all ? NAPS : 0;
    for (uint32_t i = 0; i < total && left != 0; i++) {
        next = next + 1 < total ? next + 1 : 0;
        bmm__lock_take(&lock); /* for each: who wants an arena waits for it */
        left -= (is_all || !has_dirty(arenas[next])) && unmap_if_empty(arenas[next], &naps_left);
        bmm__lock_release(&lock);
    }
}

static void *take_outside(struct bmm__run_map *map, size_t bytes, size_t align, bool *is_zero)
{
    if ((bmm__load_relaxed(&map->start) & (align - 1)) != 0)
        return NULL;
    void *start = take(map, (uint32_t)(bytes >> BMM__GRANULE_SHIFT), (uint32_t)(align >> BMM__GRANULE_SHIFT), is_zero);
    if (start == NULL || ((uintptr_t)start & (align - 1)) == 0)
        return start;
    bmm__arena_free(start, bytes, !*is_zero, false); /* it was unmapped meanwhile, and is elsewhere now */
    return NULL;
}

static void *alloc_outside(size_t bytes, size_t align, bool *is_zero)
{
    static uint32_t last; /* where it was found last; any value is right */
    uint32_t seen;
    do {
        seen = bmm__load_acquire(&offered_count);
        uint32_t total = bmm__load_acquire(&arena_count);
        uint32_t first = bmm__load_relaxed(&last);
        for (uint32_t i = 0; i < total; i++) {
            uint32_t index = (first + i) % total;
            void *start = take_outside(&arenas[index]->map, bytes, align, is_zero);
            if (start != NULL) {
                if (index != first)
                    bmm__store_relaxed(&last, index);
                return start;
            }
        }
    } while (add_arena(bytes, align, seen));
    return NULL;
}

void *bmm__arena_alloc(size_t bytes, size_t align, bool *is_zero)
{
    align = align < BMM__GRANULE ? BMM__GRANULE : align;
    uint32_t count = (uint32_t)(bytes >> BMM__GRANULE_SHIFT), align_count = (uint32_t)(align >> BMM__GRANULE_SHIFT);
    do {
        void *start = take(&bmm__window_map, count, align_count, is_zero);
        if (start != NULL)
            return start;
    } while (bmm__window_grow(count + align_count - 1));
    return alloc_outside(bytes, align, is_zero);
}

static struct bmm__run_map *map_of(uintptr_t start)
{
    uint32_t total = bmm__load_acquire(&arena_count);
    for (uint32_t i = 0; i <= total; i++) {
        struct bmm__run_map *map = map_at(i);
        uint32_t count = bmm__load_acquire(&map->unit_count); /* before the start, which goes with it */
        if ((start - bmm__load_relaxed(&map->start)) >> BMM__GRANULE_SHIFT < count)
            return map;
    }
    return NULL;
}

#ifdef BMM_SECURE
void *bmm__arena_beside(uintptr_t start, size_t *granule)
{
    struct bmm__run_map *map = map_of(start); /* an arena begins with it */
    *granule = (start - map->start) >> BMM__GRANULE_SHIFT;
    return (char *)map + BMM__GRANULE;
}
#endif

size_t bmm__arena_mapped_bytes(void)
{
    size_t granules = 0;
    uint32_t total = bmm__load_acquire(&arena_count);
    for (uint32_t i = 0; i <= total; i++)
        granules += bmm__load_acquire(&map_at(i)->unit_count);
    return granules << BMM__GRANULE_SHIFT;
}

bool bmm__arena_may_keep(size_t bytes)
{
    return bmm__load_relaxed(&bmm__dirty_bytes) + bytes <= bmm__load_relaxed(&bmm__arena_used_bytes) + KEPT_BYTES;
}

bool bmm__arena_extend(void *start, size_t bytes, size_t more_bytes)
{
    struct bmm__run_map *map = map_of((uintptr_t)start);
    uint32_t dirty_count, index = (uint32_t)(((uintptr_t)start + bytes - map->start) >> BMM__GRANULE_SHIFT);
    uint32_t count = (uint32_t)(more_bytes >> BMM__GRANULE_SHIFT);
    uint32_t total = bmm__load_acquire(&map->unit_count);
    if (map == &bmm__window_map && index + count > total &&
        bmm__run_map_free_at(map, index, total - index) == total - index)
        bmm__window_grow(index + count - total);
    if (!bmm__run_map_take_at(map, index, count, &dirty_count))
        return false;
    bmm__add_relaxed(&bmm__arena_used_bytes, more_bytes);
    return true;
}

void bmm__arena_free(void *start, size_t bytes, bool is_dirty, bool is_moved)
{
    struct bmm__run_map *map = map_of((uintptr_t)start);
    uint32_t index = (uint32_t)(((uintptr_t)start - map->start) >> BMM__GRANULE_SHIFT);
    static uint32_t moved_count;
    size_t clean_bytes = is_dirty ? 0 : bytes;
    /* Purged before it is given: afterwards it may be another thread's. */
    if (is_moved && bmm__add_relaxed(&moved_count, 1) >= MOVED_MAX)
        clean_bytes = bmm__os_purge_moved(start, bytes) ? bytes : 0;
    else if (is_dirty && !bmm__arena_may_keep(bytes))
        clean_bytes = bmm__purge_excess(start, bytes);
    uint32_t count = (uint32_t)(bytes >> BMM__GRANULE_SHIFT),
             clean_count = (uint32_t)(clean_bytes >> BMM__GRANULE_SHIFT);
    if (clean_count != 0) {
        if (map->purged != NULL)
            map->purged((uintptr_t)start, (size_t)clean_count << BMM__GRANULE_SHIFT);
        bmm__run_map_give(map, index, clean_count, false);
    }
    if (clean_count != count)
        bmm__run_map_give(map, index + clean_count, count - clean_count, true);
    bmm__sub_relaxed(&bmm__arena_used_bytes, bytes);
}

bool bmm__arena_age(bool is_all, struct bmm__purge_work *work)
{
    static uint32_t cursor;
    uint32_t total = bmm__load_acquire(&arena_count);
    for (; cursor <= total; cursor++)
        if (!bmm__run_map_age(map_at(cursor), is_all, work))
            return false;
    cursor = 0;
    return true;
}

bool bmm__arena_purge_last(struct bmm__purge_place *place, struct bmm__purge_work *work)
{
    if (!place->is_begun)
        *place = (struct bmm__purge_place){ bmm__load_acquire(&arena_count), UINT32_MAX, true };
    while (bmm__run_map_purge_last(map_at(place->map), &place->part, work)) {
        if (place->map == 0)
            return true;
        place->map--;
        place->part = UINT32_MAX;
    }
    return false;
}
