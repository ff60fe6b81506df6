#include "core/window.h"

#include "core/atomic.h"
#include "core/lock.h"
#include "core/secure_span.h"
#include "core/span.h"

#define BYTES_MIN ((size_t)64 << 20)
#define BYTES_MAX ((size_t)16 << 40)
/* Granules. While a step is made, whoever touches new memory waits, and where two threads ran, one of them may wake on the other's
 * processor and share that with it for some milliseconds: so steps are large; a quarter of what is there where the system
 * counts what is mapped as used; a sixteenth of a limit at most. */
#define STEP_MIN ((size_t)64)
#define STEP_MAX ((size_t)1024)
#define ATTEMPTS 3u
#define BLOCKED_MAX 100u
#define TIGHT_PART 8u
#define PLACE_ALIGN (2 * BMM__WINDOW_ALIGN) /* so that what the table has below the window is whole granules */
#ifdef BMM_SECURE
#define PLACE_END ((uint64_t)16 << 40)
#else
#define PLACE_END ((uint64_t)64 << 30) /* 8 MiB of zeros at most: a program may limit its address space later */
#endif

uintptr_t bmm__window_limit;
#ifndef BMM_SECURE
uintptr_t bmm__window_table;
#endif
uintptr_t bmm__window_start;
size_t bmm__window_count;
struct bmm__span **bmm__window_spans;
bool bmm__window_is_tight;
struct bmm__run_map bmm__window_map = { .unit_shift = BMM__GRANULE_SHIFT };

BMM__LOCK(lock, BMM__RANK_ARENA);
static size_t capacity;            /* granules */
static size_t reserved;            /* granules */
static size_t own_count;           /* granules of the tables and the bits */
static size_t table_bytes;         /* of each table that are committed */
static bool has_failed;            /* no window is to be had */
static size_t step_max = STEP_MAX; /* STEP_MIN once the system refused more */
static bool is_counted;            /* what is mapped: bmm__os_counts_mapped */
static bool is_blocked;            /* something lies where the last step was to be */
static unsigned blocked_in_a_row;
static uint64_t tight_bytes; /* from there on it is tight: as of its beginning, for a sandbox may forbid to ask later */

static size_t granules_for(size_t bytes)
{
    return (bytes + BMM__GRANULE - 1) >> BMM__GRANULE_SHIFT;
}

/* Four times the machine's memory, for holes; less where address space is limited. */
static size_t wanted_bytes(void)
{
    size_t bytes = BYTES_MAX, memory = bmm__os_memory_bytes();
    uint64_t limit = bmm__os_address_limit(), data_limit = bmm__os_data_limit();
    tight_bytes = (limit < data_limit ? limit : data_limit) / TIGHT_PART;
    is_counted = bmm__os_counts_mapped();
    while (bytes > BYTES_MIN && memory != 0 && bytes / 8 >= memory)
        bytes /= 2;
    while (bytes >= BYTES_MIN && bytes > limit / 4)
        bytes /= 2;
    return bytes;
}

static size_t table_bytes_for(size_t count)
{
    return granules_for(count * sizeof(uintptr_t)) << BMM__GRANULE_SHIFT;
}

/* Commits the tables up to granule count; what is new of them is zero (W1). */
static bool extend_tables(size_t count)
{
    size_t bytes = table_bytes_for(count);
    if (bytes > table_bytes) {
        size_t more = bytes - table_bytes;
        if (!bmm__os_commit((char *)bmm__window_start + table_bytes, more) || /* NOLINT */
            !bmm__os_commit((char *)bmm__window_spans + table_bytes, more))
            return false;
        table_bytes = bytes;
    }
    return true;
}

/* The same for the first time, with the bits, which lie before the table of descriptors. */
static bool commit_own(char *bits, size_t bits_bytes)
{
    size_t bytes = table_bytes_for(own_count);
    if (!bmm__os_commit(bits, bits_bytes + bytes) || !bmm__os_commit((char *)bmm__window_start, bytes)) /* NOLINT */
        return false;
    table_bytes = bytes;
    return true;
}

/* What the table has below a window that begins there. */
static size_t zeros_below(uintptr_t start)
{
    return BMM__HAS_ZEROS ? (start >> BMM__GRANULE_SHIFT) * sizeof(uintptr_t) : 0;
}

/* A place below which the zeros are no large part of the address space that the process may have. */
static uint64_t place_end(void)
{
    uint64_t limit = bmm__os_address_limit(), most = zeros_below(PLACE_END);
    return limit / 16 >= most ? PLACE_END : PLACE_END / most * (limit / 16);
}

struct reservation {
    char *base; /* NULL: none */
    size_t bytes;
    char *start; /* of the window */
};

/* own_count granules and the zeros at a place of our choice with nothing behind it for long, else capacity granules
 * anywhere, with room for zeros in front of them. */
static struct reservation reserve(void)
{
    reserved = own_count;
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        char *place = bmm__os_quiet_place(PLACE_ALIGN, place_end());
        if (place == NULL)
            break;
        size_t zeros = zeros_below((uintptr_t)place), bytes = zeros + (own_count << BMM__GRANULE_SHIFT);
        if (bmm__os_reserve_at(place - zeros, bytes))
            return (struct reservation){ place - zeros, bytes, place };
    }
    reserved = capacity;
    size_t zeros = zeros_below((uintptr_t)1 << BMM__ADDRESS_BITS), bytes = zeros + (capacity << BMM__GRANULE_SHIFT);
    char *base = bmm__os_reserve(bytes, PLACE_ALIGN);
    return (struct reservation){ base, bytes, base + zeros };
}

static void publish(size_t count)
{
    bmm__store_release(&bmm__window_count, count);
    bmm__store_release(&bmm__window_limit, (bmm__window_start >> BMM__GRANULE_SHIFT) + count);
}

static bool make(size_t bytes)
{
    capacity = bytes >> BMM__GRANULE_SHIFT;
    size_t table_granules = granules_for(capacity * sizeof(struct bmm__list *));
    size_t bits_bytes = (capacity / 8 + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
    own_count = 2 * table_granules + 3 * (bits_bytes >> BMM__GRANULE_SHIFT) + BMM__GUARD_GRANULES;
    struct reservation own = reserve();
    if (own.base == NULL)
        return false;
    char *start = own.start;
    size_t zeros = zeros_below((uintptr_t)start);
    char *bits = start + (table_granules << BMM__GRANULE_SHIFT);
    bmm__window_start = (uintptr_t)start;
    bmm__window_spans = (struct bmm__span **)(void *)(bits + 3 * bits_bytes);
    if ((zeros != 0 && !bmm__os_protect(start - zeros, zeros, BMM__OS_READ)) || !commit_own(bits, 3 * bits_bytes) ||
        !bmm__secure_extend(own_count, capacity)) {
        bmm__window_start = 0;
        table_bytes = 0;
        bmm__os_release(own.base, own.bytes);
        return false;
    }
#ifndef BMM_SECURE
    bmm__window_table = (uintptr_t)start - zeros;
#endif
    struct bmm__run_map *map = &bmm__window_map;
    map->start = (uintptr_t)start;
    map->used = (uint64_t *)(void *)bits;
    map->dirty = (uint64_t *)(void *)(bits + bits_bytes);
    map->aged = (uint64_t *)(void *)(bits + 2 * bits_bytes);
    map->purged = bmm__secure_purged;
    for (size_t i = 0; i < own_count; i++)
        map->used[i / 64] |= 1ull << i % 64;
    bmm__store_release(&map->unit_count, (uint32_t)own_count);
    publish(own_count);
    return true;
}

/* The ladder: a small window is better than none. */
static bool make_any(void)
{
    for (size_t bytes = wanted_bytes(); bytes >= BYTES_MIN; bytes /= 4)
        if (make(bytes))
            return true;
    return false;
}

/* Makes the granules from now on usable that are reserved only. */
static bool commit(size_t now, size_t end)
{
    char *start = (char *)bmm__window_start + (now << BMM__GRANULE_SHIFT); /* NOLINT */
    return end <= now || bmm__os_commit(start, (end - now) << BMM__GRANULE_SHIFT);
}

/* Makes those usable that are not reserved yet: in one call, for threads that touch memory wait for it. */
static bool map_up_to(size_t end)
{
    char *start = (char *)bmm__window_start + (reserved << BMM__GRANULE_SHIFT); /* NOLINT */
    bool is_taken = true;
    /* bmm__os_move may have a page there for a moment, to see whether it can */
    for (unsigned attempt = 0; end > reserved && is_taken && attempt <= ATTEMPTS; attempt++)
        if (bmm__os_map_at(start, (end - reserved) << BMM__GRANULE_SHIFT, &is_taken))
            reserved = end;
        else
            bmm__pause();
    is_blocked = end > reserved && is_taken;
    return end <= reserved;
}

/* Under lock: step more granules. */
static bool extend(size_t step)
{
    size_t now = bmm__window_count, end = now + step;
    if (!commit(now, end < reserved ? end : reserved) || !map_up_to(end) || !extend_tables(end) ||
        !bmm__secure_extend(end, capacity))
        return false;
    publish(end);
    bmm__store_release(&bmm__window_map.unit_count, (uint32_t)end);
    if ((uint64_t)end << BMM__GRANULE_SHIFT > tight_bytes)
        bmm__store_relaxed(&bmm__window_is_tight, true);
    return true;
}

/* How much more there is to be, where count is wanted. Under lock. */
static size_t next_step(size_t count)
{
    size_t there = bmm__window_count - own_count, left = capacity - bmm__window_count;
    uint64_t most = tight_bytes / 2 >> BMM__GRANULE_SHIFT;
    most = most < step_max ? most : step_max;
    size_t step = is_counted && there / 4 < most ? there / 4 : (size_t)most;
    step = step < STEP_MIN ? STEP_MIN : step;
    step = step < count ? count : step;
    return step < left ? step : left;
}

/* What the system refuses (limits that were set meanwhile; memory that is locked as it is mapped; what lies behind the window) is not
 * asked for again: from then on it grows by little, or, if even that is refused, by what is wanted. Under lock. */
static bool extend_somewhat(size_t step, size_t count)
{
    if (extend(step)) {
        blocked_in_a_row = 0;
        return true;
    }
    if (step <= count)
        return false;
    step_max = STEP_MIN;
    if (count < STEP_MIN && STEP_MIN < step && extend(STEP_MIN))
        return true;
    if (count < STEP_MIN && !is_blocked)
        bmm__store_relaxed(&bmm__window_is_tight, true);
    if (extend(count))
        return true;
    /* a page of bmm__os_move's may be in the way, while its thread waits for its turn; but not so often */
    blocked_in_a_row = is_blocked ? blocked_in_a_row + 1 : 0;
    if (blocked_in_a_row == BLOCKED_MAX)
        capacity = bmm__window_count; /* it stays as it is */
    return false;
}

bool bmm__window_grow(size_t count)
{
    if (bmm__load_relaxed(&has_failed))
        return false;
    size_t before = bmm__load_acquire(&bmm__window_count);
    bmm__lock_take(&lock);
    bool is_done = true;
    if (bmm__window_count == 0 && !make_any()) {
        bmm__store_relaxed(&has_failed, true);
        is_done = false;
    } else if (before == 0 || bmm__window_count == before) { /* else another thread grew it: look again */
        size_t step = next_step(count);
        is_done = step >= count && extend_somewhat(step, count);
    }
    bmm__lock_release(&lock);
    return is_done;
}
