#include "core/window.h"

#include "core/atomic.h"
#include "core/lock.h"
#include "core/span.h"

#define BYTES_MIN ((size_t)64 << 20)
#define BYTES_MAX ((size_t)16 << 40)
#define STEP_MIN ((size_t)16) /* granules; with step = an eighth, huge pages can bloat a heap by no more than that */
#define STEP_MAX ((size_t)1024)

uintptr_t bmm__window_start;
size_t bmm__window_count;
struct bmm__run_map bmm__window_map = { .unit_shift = BMM__GRANULE_SHIFT };

static struct bmm__lock lock = BMM__LOCK_INIT(BMM__RANK_ARENA);
static size_t capacity;    /* granules */
static size_t own_count;   /* granules of the table and the bits */
static size_t table_bytes; /* of the table that are committed */
static bool has_failed;    /* no window is to be had */

static size_t granules_for(size_t bytes)
{
    return (bytes + BMM__GRANULE - 1) >> BMM__GRANULE_SHIFT;
}

/* Four times the machine's memory, for holes; less where address space is limited. */
static size_t wanted_bytes(void)
{
    size_t bytes = BYTES_MAX, memory = bmm__os_memory_bytes();
    uint64_t limit = bmm__os_address_limit();
    while (bytes > BYTES_MIN && memory != 0 && bytes / 8 >= memory)
        bytes /= 2;
    while (bytes >= BYTES_MIN && bytes > limit / 4)
        bytes /= 2;
    return bytes;
}

/* Commits the table up to granule count and fills the new part (W1). */
static bool extend_table(size_t count)
{
    struct bmm__span **table = (struct bmm__span **)bmm__window_start; /* NOLINT */
    size_t bytes = (count * sizeof *table + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
    if (bytes > table_bytes) {
        if (!bmm__os_commit((char *)table + table_bytes, bytes - table_bytes))
            return false;
        table_bytes = bytes;
    }
    for (size_t i = bmm__window_count; i < count; i++)
        table[i] = &bmm__empty_span;
    return true;
}

static bool make(void)
{
    void *start = NULL;
    size_t bytes = wanted_bytes();
    for (; bytes >= BYTES_MIN && start == NULL; bytes /= 4)
        start = bmm__os_reserve(bytes, BMM__WINDOW_ALIGN);
    if (start == NULL)
        return false;
    bytes *= 4;
    capacity = bytes >> BMM__GRANULE_SHIFT;
    size_t table_granules = granules_for(capacity * sizeof(struct bmm__span *));
    size_t bits_bytes = (capacity / 8 + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
    own_count = table_granules + 3 * (bits_bytes >> BMM__GRANULE_SHIFT);
    char *bits = (char *)start + (table_granules << BMM__GRANULE_SHIFT);
    bmm__window_start = (uintptr_t)start;
    if (!bmm__os_commit(bits, 3 * bits_bytes) || !extend_table(own_count)) {
        bmm__window_start = 0;
        bmm__os_release(start, bytes);
        return false;
    }
    struct bmm__run_map *map = &bmm__window_map;
    map->start = (uintptr_t)start;
    map->used = (uint64_t *)(void *)bits;
    map->dirty = (uint64_t *)(void *)(bits + bits_bytes);
    map->aged = (uint64_t *)(void *)(bits + 2 * bits_bytes);
    for (size_t i = 0; i < own_count; i++)
        map->used[i / 64] |= 1ull << i % 64;
    bmm__store_release(&map->unit_count, (uint32_t)own_count);
    bmm__store_release(&bmm__window_count, own_count);
    return true;
}

bool bmm__window_grow(size_t count)
{
    if (bmm__load_relaxed(&has_failed))
        return false;
    size_t before = bmm__load_acquire(&bmm__window_count);
    bmm__lock_take(&lock);
    bool is_done = true;
    if (bmm__window_count == 0 && !make()) {
        bmm__store_relaxed(&has_failed, true);
        is_done = false;
    } else if (before == 0 || bmm__window_count == before) { /* else another thread grew it: look again */
        size_t now = bmm__window_count, step = (now - own_count) / 8;
        step = step < STEP_MIN ? STEP_MIN : step > STEP_MAX ? STEP_MAX : step;
        step = step < count ? count : step;
        if (step > capacity - now)
            step = capacity - now;
        is_done = step >= count &&
                  bmm__os_commit((void *)(bmm__window_start + (now << BMM__GRANULE_SHIFT)), /* NOLINT */
                                 step << BMM__GRANULE_SHIFT) &&
                  extend_table(now + step);
        if (is_done) {
            bmm__store_release(&bmm__window_count, now + step);
            bmm__store_release(&bmm__window_map.unit_count, (uint32_t)(now + step));
        }
    }
    bmm__lock_release(&lock);
    return is_done;
}
