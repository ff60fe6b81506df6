#include "core/run_map.h"

#include "core/atomic.h"
#include "core/os.h"

size_t bmm__dirty_bytes;

/* Bits of the run [index, index + count) that lie in word. */
static uint64_t mask_in(uint32_t word, uint32_t index, uint32_t count)
{
    uint32_t first = index > word * 64 ? index - word * 64 : 0;
    uint32_t last = index + count - word * 64; /* one past */
    uint64_t below_last = last >= 64 ? ~0ull : (1ull << last) - 1;
    return below_last & ~0ull << first;
}

/* The first unit at or after index that is not used; unit_count and more: none. */
static uint32_t next_free(const struct bmm__run_map *map, uint32_t index, uint32_t unit_count)
{
    while (index < unit_count) {
        uint64_t clear = ~bmm__load_relaxed(&map->used[index / 64]) >> index % 64;
        if (clear != 0)
            return index + (uint32_t)__builtin_ctzll(clear);
        index = (index | 63) + 1;
    }
    return index;
}

/* The last used unit of the run, BMM__RUN_NONE if all are free. */
static uint32_t last_used(const struct bmm__run_map *map, uint32_t index, uint32_t count)
{
    for (uint32_t word = (index + count - 1) / 64 + 1; word-- > index / 64;) {
        uint64_t set = bmm__load_relaxed(&map->used[word]) & mask_in(word, index, count);
        if (set != 0)
            return word * 64 + 63 - (uint32_t)__builtin_clzll(set);
    }
    return BMM__RUN_NONE;
}

static void clear_used(struct bmm__run_map *map, uint32_t index, uint32_t count)
{
    for (uint32_t word = index / 64; word <= (index + count - 1) / 64; word++)
        bmm__and_acq_rel(&map->used[word], ~mask_in(word, index, count));
}

static bool claim(struct bmm__run_map *map, uint32_t index, uint32_t count)
{
    for (uint32_t word = index / 64; word <= (index + count - 1) / 64; word++) {
        uint64_t mask = mask_in(word, index, count), used = bmm__load_relaxed(&map->used[word]);
        do {
            if ((used & mask) != 0) {
                if (word > index / 64)
                    clear_used(map, index, word * 64 - index);
                return false;
            }
        } while (!bmm__cas_weak_acq_rel(&map->used[word], &used, used | mask));
    }
    return true;
}

/* Takes the dirty marks off a held run (R2). Returns how many there were. */
static uint32_t wipe_marks(struct bmm__run_map *map, uint32_t index, uint32_t count)
{
    uint32_t dirty_count = 0;
    for (uint32_t word = index / 64; word <= (index + count - 1) / 64; word++) {
        uint64_t mask = mask_in(word, index, count);
        if ((bmm__load_relaxed(&map->dirty[word]) & mask) == 0)
            continue;
        dirty_count += (uint32_t)__builtin_popcountll(bmm__and_acq_rel(&map->dirty[word], ~mask) & mask);
        bmm__and_acq_rel(&map->aged[word], ~mask);
    }
    if (dirty_count != 0)
        bmm__sub_relaxed(&bmm__dirty_bytes, (size_t)dirty_count << map->unit_shift);
    return dirty_count;
}

uint32_t bmm__run_map_take(struct bmm__run_map *map, uint32_t count, uint32_t align, uint32_t *dirty_count)
{
    uint32_t unit_count = bmm__load_acquire(&map->unit_count), hint = bmm__load_relaxed(&map->hint);
    for (uint32_t from = hint * 64;; from = 0) {
        uint32_t at = next_free(map, from, unit_count);
        if (at / 64 != hint && at < unit_count)
            bmm__store_relaxed(&map->hint, at / 64);
        while (at < unit_count && count <= unit_count - at) {
            uint32_t aligned = (at + align - 1) & ~(align - 1);
            if (aligned < at || aligned >= unit_count || count > unit_count - aligned)
                break;
            uint32_t obstacle = last_used(map, aligned, count);
            if (obstacle == BMM__RUN_NONE) {
                if (claim(map, aligned, count)) {
                    *dirty_count = wipe_marks(map, aligned, count);
                    return aligned;
                }
                obstacle = aligned - 1; /* another thread was faster: look again from here */
            }
            at = next_free(map, obstacle + 1, unit_count);
        }
        if (from == 0)
            return BMM__RUN_NONE;
    }
}

bool bmm__run_map_take_at(struct bmm__run_map *map, uint32_t index, uint32_t count, uint32_t *dirty_count)
{
    uint32_t unit_count = bmm__load_acquire(&map->unit_count);
    if (count == 0 || index >= unit_count || count > unit_count - index || !claim(map, index, count))
        return false;
    *dirty_count = wipe_marks(map, index, count);
    return true;
}

void bmm__run_map_give(struct bmm__run_map *map, uint32_t index, uint32_t count, bool is_dirty)
{
    if (is_dirty) {
        bmm__add_relaxed(&bmm__dirty_bytes, (size_t)count << map->unit_shift);
        for (uint32_t word = index / 64; word <= (index + count - 1) / 64; word++)
            bmm__or_acq_rel(&map->dirty[word], mask_in(word, index, count));
    }
    clear_used(map, index, count);
    if (index / 64 < bmm__load_relaxed(&map->hint))
        bmm__store_relaxed(&map->hint, index / 64);
}

bool bmm__run_map_take_all(struct bmm__run_map *map, uint32_t *dirty_count)
{
    return bmm__run_map_take_at(map, 0, bmm__load_acquire(&map->unit_count), dirty_count);
}

uint32_t bmm__run_map_free_before(const struct bmm__run_map *map, uint32_t index, uint32_t max)
{
    max = max < index ? max : index;
    if (max == 0)
        return 0;
    uint32_t obstacle = last_used(map, index - max, max);
    return obstacle == BMM__RUN_NONE ? max : index - obstacle - 1;
}

uint32_t bmm__run_map_free_at(const struct bmm__run_map *map, uint32_t index, uint32_t max)
{
    uint32_t unit_count = bmm__load_acquire(&map->unit_count);
    if (index >= unit_count)
        return 0;
    max = max < unit_count - index ? max : unit_count - index;
    uint32_t count = 0;
    while (count < max) {
        uint32_t at = index + count;
        uint64_t set = bmm__load_relaxed(&map->used[at / 64]) >> at % 64;
        uint32_t here = set == 0 ? 64 - at % 64 : (uint32_t)__builtin_ctzll(set);
        count += here;
        if (set != 0)
            break;
    }
    return count < max ? count : max;
}

/* Purges the units of one word, neighbours together. Returns those that the system kept. */
static uint64_t purge_word(const struct bmm__run_map *map, uint32_t word, uint64_t units)
{
    uint64_t kept = 0;
    while (units != 0) {
        uint32_t first = (uint32_t)__builtin_ctzll(units);
        uint64_t above = ~(units >> first);
        uint32_t count = above == 0 ? 64 : (uint32_t)__builtin_ctzll(above);
        uint64_t rest = first + count == 64 ? 0 : ~0ull << (first + count);
        uintptr_t at = map->start + ((uintptr_t)(word * 64 + first) << map->unit_shift);
        if (!bmm__os_purge((void *)at, (size_t)count << map->unit_shift)) /* NOLINT */
            kept |= units & ~rest;
        else if (map->purged != NULL)
            map->purged(at, (size_t)count << map->unit_shift);
        units &= rest;
    }
    return kept;
}

/* Gives the memory behind those of the wanted units of a word that are free and dirty back. Returns how many bytes the
 * system was asked for. */
static size_t purge_units(struct bmm__run_map *map, uint32_t word, uint64_t wanted, struct bmm__purge_work *work)
{
    /* Held while it is purged (R1); what was taken between the look and now is not ours. */
    uint64_t mine = wanted & ~bmm__or_acq_rel(&map->used[word], wanted);
    uint64_t to_purge = mine & bmm__load_relaxed(&map->dirty[word]);
    size_t asked = (size_t)__builtin_popcountll(to_purge) << map->unit_shift;
    to_purge &= ~purge_word(map, word, to_purge);
    to_purge &= bmm__and_acq_rel(&map->dirty[word], ~to_purge); /* what counts as given back */
    bmm__and_acq_rel(&map->used[word], ~mine);
    size_t given = (size_t)__builtin_popcountll(to_purge) << map->unit_shift;
    bmm__sub_relaxed(&bmm__dirty_bytes, given);
    work->asked_bytes += asked;
    work->given_bytes += given;
    return asked;
}

/* The units of a half word: of granules that is a huge page, which is not to be torn, and no more than a caller may wait for. */
static uint64_t half_mask(uint32_t half)
{
    return half % 2 == 0 ? UINT32_MAX : ~(uint64_t)UINT32_MAX;
}

static uint32_t half_count_of(const struct bmm__run_map *map)
{
    return (bmm__load_acquire(&map->unit_count) + 31) / 32;
}

static uint64_t free_and_dirty(const struct bmm__run_map *map, uint32_t half)
{
    return bmm__load_relaxed(&map->dirty[half / 2]) & ~bmm__load_relaxed(&map->used[half / 2]) & half_mask(half);
}

bool bmm__run_map_age(struct bmm__run_map *map, bool is_all, size_t max_bytes, struct bmm__purge_work *work)
{
    uint32_t half_count = half_count_of(map);
    size_t asked = 0;
    for (uint32_t half = map->age_half; half < half_count; half++) {
        uint32_t word = half / 2;
        uint64_t mask = half_mask(half), aged = bmm__load_relaxed(&map->aged[word]);
        uint64_t wanted = free_and_dirty(map, half) & (is_all ? mask : aged);
        if (wanted != 0)
            asked += purge_units(map, word, wanted, work);
        uint64_t dirty = bmm__load_relaxed(&map->dirty[word]) & mask;
        if ((dirty | (aged & mask)) != 0)
            bmm__store_relaxed(&map->aged[word], (bmm__load_relaxed(&map->aged[word]) & ~mask) | dirty);
        if (asked >= max_bytes) {
            map->age_half = half + 1;
            return false;
        }
    }
    map->age_half = 0;
    return true;
}

bool bmm__run_map_purge_last(struct bmm__run_map *map, uint32_t *half, size_t max_bytes, struct bmm__purge_work *work)
{
    uint32_t half_count = half_count_of(map);
    size_t asked = 0;
    for (*half = *half < half_count ? *half : half_count; *half != 0 && asked < max_bytes;) {
        uint64_t wanted = free_and_dirty(map, --*half);
        if (wanted != 0)
            asked += purge_units(map, *half / 2, wanted, work);
    }
    return *half == 0;
}
