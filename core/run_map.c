#include "core/run_map.h"

#include "core/atomic.h"
#include "core/os.h"

#define PART_WORDS \
    (((size_t)1 << (BMM__RUN_PART_SHIFT - BMM__RUN_UNIT_SHIFT_MIN)) / 64 + 1) /* if it begins within one */
#define REFUSED_BYTES ((size_t)128 << 10) /* of a run that the system does not take whole are tried together */

size_t bmm__dirty_bytes;

/* Bits of the run [index, index + count) that lie in word. */
static uint64_t mask_in(uint32_t word, uint32_t index, uint32_t count)
{
    uint32_t first = index > word * 64 ? index - word * 64 : 0;
    uint32_t last = index + count - word * 64; /* one past */
    uint64_t below_last = last >= 64 ? ~0ull : (1ull << last) - 1;
    return below_last & ~0ull << first;
}

/* The first index from there on whose bit is clear (set); end and more: none. */
static uint32_t next_clear(const uint64_t *bits, uint32_t index, uint32_t end)
{
    while (index < end) {
        uint64_t clear = ~bmm__load_relaxed(&bits[index / 64]) >> index % 64;
        if (clear != 0)
            return index + (uint32_t)__builtin_ctzll(clear);
        index = (index | 63) + 1;
    }
    return index;
}

static uint32_t next_set(const uint64_t *bits, uint32_t index, uint32_t end)
{
    while (index < end) {
        uint64_t set = bmm__load_relaxed(&bits[index / 64]) >> index % 64;
        if (set != 0)
            return index + (uint32_t)__builtin_ctzll(set);
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
        uint32_t at = next_clear(map->used, from, unit_count);
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
            at = next_clear(map->used, obstacle + 1, unit_count);
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

/* A part's units, beginning where 2 MiB of addresses do, and how many it has. */
static uint32_t whole_part(const struct bmm__run_map *map)
{
    return (uint32_t)1 << (BMM__RUN_PART_SHIFT - map->unit_shift);
}

/* How many units the first part lacks, because the map begins within it. */
static uint32_t lacking(const struct bmm__run_map *map)
{
    return (uint32_t)(bmm__load_relaxed(&map->start) >> map->unit_shift) & (whole_part(map) - 1);
}

static uint32_t part_of(const struct bmm__run_map *map, uint32_t index)
{
    return (index + lacking(map)) / whole_part(map);
}

/* The index of a part's first unit, and how many it has. */
static uint32_t part_at(const struct bmm__run_map *map, uint32_t part, uint32_t *count)
{
    uint32_t whole = whole_part(map), before = lacking(map);
    uint32_t index = part == 0 ? 0 : part * whole - before, end = (part + 1) * whole - before;
    uint32_t unit_count = bmm__load_acquire(&map->unit_count);
    end = end < unit_count ? end : unit_count;
    *count = end > index ? end - index : 0;
    return index;
}

static uint32_t part_count_of(const struct bmm__run_map *map)
{
    uint32_t unit_count = bmm__load_acquire(&map->unit_count);
    return unit_count == 0 ? 0 : part_of(map, unit_count - 1) + 1;
}

/* That part or the next one whose words have a dirty unit; part_count: none has. */
static uint32_t next_dirty_part(const struct bmm__run_map *map, uint32_t part, uint32_t part_count)
{
    uint32_t count, first, at;
    if (part >= part_count)
        return part_count;
    first = part_at(map, part, &count);
    at = next_set(map->dirty, first & ~63u, bmm__load_acquire(&map->unit_count));
    if (at <= first)
        return part;
    uint32_t found = part_of(map, at);
    return found < part_count ? found : part_count;
}

/* One past that part before part or the last one before that whose words have a dirty unit; 0: none has. */
static uint32_t end_of_dirty_parts(const struct bmm__run_map *map, uint32_t part)
{
    uint32_t count, first, word;
    if (part == 0)
        return 0;
    first = part_at(map, part - 1, &count);
    if (count == 0)
        return part - 1;
    for (word = (first + count - 1) / 64; bmm__load_relaxed(&map->dirty[word]) == 0; word--)
        if (word == 0)
            return 0;
    uint32_t found = part_of(map, word * 64 + 63) + 1;
    return found < part ? found : part;
}

/* Purges a held run; where the system refuses, for a page that is locked perhaps, by fewer units. False: it took none. */
static bool purge_run(struct bmm__run_map *map, uint32_t index, uint32_t count, struct bmm__purge_work *work)
{
    uintptr_t start = bmm__load_relaxed(&map->start) + ((uintptr_t)index << map->unit_shift);
    size_t bytes = (size_t)count << map->unit_shift;
    if (bmm__os_purge((void *)start, bytes)) { /* NOLINT */
        work->given_bytes += bytes;
        wipe_marks(map, index, count);
        if (map->purged != NULL)
            map->purged(start, bytes);
        return true;
    }
    bool has_given = false;
    uint32_t few = (uint32_t)(REFUSED_BYTES >> map->unit_shift);
    if (count > few)
        for (uint32_t done = 0; done < count; done += few) {
            uint32_t some = count - done < few ? count - done : few;
            has_given |= purge_run(map, index + done, some, work);
        }
    return has_given;
}

/*
 * Gives the memory behind those units of a part back that are free and dirty, and aged unless is_all; one call for
 * neighbours together: a call's price is for a good part its flush of the TLB. False: the work was over before the part
 * was; something was given then, so that whoever begins it again gets on.
 */
static bool purge_part(struct bmm__run_map *map, uint32_t part, bool is_all, struct bmm__purge_work *work)
{
    uint32_t count, index = part_at(map, part, &count), first = index / 64;
    uint32_t word_count = count == 0 ? 0 : (index + count - 1) / 64 - first + 1;
    uint64_t mine[PART_WORDS], dirty[PART_WORDS];
    for (uint32_t i = 0; i < word_count; i++) {
        uint64_t wanted = bmm__load_relaxed(&map->dirty[first + i]) & ~bmm__load_relaxed(&map->used[first + i]) &
                          mask_in(first + i, index, count);
        if (!is_all)
            wanted &= bmm__load_relaxed(&map->aged[first + i]);
        /* Held while it is purged (R1); what was taken between the look and now is not ours. */
        mine[i] = wanted == 0 ? 0 : wanted & ~bmm__or_acq_rel(&map->used[first + i], wanted);
        dirty[i] = mine[i] == 0 ? 0 : mine[i] & bmm__load_relaxed(&map->dirty[first + i]);
    }
    bool is_over = false;
    uint32_t end = word_count * 64, at = next_set(dirty, 0, end);
    while (at < end && !is_over) {
        uint32_t stop = next_clear(dirty, at, end);
        work->asked_bytes += (size_t)(stop - at) << map->unit_shift;
        bool has_given = purge_run(map, first * 64 + at, stop - at, work);
        at = next_set(dirty, stop, end);
        is_over = has_given && at < end && bmm__purge_work_is_over(work);
    }
    bool is_held = false;
    for (uint32_t i = 0; i < word_count; i++)
        if (mine[i] != 0) {
            bmm__and_acq_rel(&map->used[first + i], ~mine[i]);
            is_held = true;
        }
    if (is_held && first < bmm__load_relaxed(&map->hint)) /* who found none meanwhile looked on behind it */
        bmm__store_relaxed(&map->hint, first);
    return !is_over;
}

/* What is dirty in a part now, and is so still at the next pass, will be aged. */
static void age_part(struct bmm__run_map *map, uint32_t part)
{
    uint32_t count, index = part_at(map, part, &count);
    for (uint32_t word = index / 64; word * 64 < index + count; word++) {
        uint64_t mask = mask_in(word, index, count), aged = bmm__load_relaxed(&map->aged[word]);
        uint64_t dirty = bmm__load_relaxed(&map->dirty[word]) & mask;
        if ((dirty | (aged & mask)) != 0)
            bmm__store_relaxed(&map->aged[word], (aged & ~mask) | dirty);
    }
}

bool bmm__run_map_age(struct bmm__run_map *map, bool is_all, struct bmm__purge_work *work)
{
    uint32_t part_count = part_count_of(map), part = map->age_part;
    while ((part = next_dirty_part(map, part, part_count)) < part_count) {
        size_t asked = work->asked_bytes;
        map->age_part = part;
        if (!purge_part(map, part, is_all, work))
            return false;
        age_part(map, part++);
        map->age_part = part;
        if (work->asked_bytes != asked && bmm__purge_work_is_over(work))
            return false;
    }
    map->age_part = 0;
    return true;
}

bool bmm__run_map_purge_last(struct bmm__run_map *map, uint32_t *part, struct bmm__purge_work *work)
{
    uint32_t part_count = part_count_of(map);
    *part = *part < part_count ? *part : part_count;
    while ((*part = end_of_dirty_parts(map, *part)) != 0) {
        size_t asked = work->asked_bytes;
        if (!purge_part(map, *part - 1, true, work))
            return false;
        --*part;
        if (work->asked_bytes != asked && bmm__purge_work_is_over(work))
            return false;
    }
    return true;
}
