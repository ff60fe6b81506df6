/* Runs of units: never handed out twice, lowest first, found whatever word they cross; marks of dirty memory are right. */
#include "tests/plain.h"

#include "core/atomic.h"
#include "core/os.h"
#include "core/run_map.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define UNITS 1000u
#define PART 512u /* units of 4 KiB in 2 MiB */
#define WORDS ((UNITS + 63) / 64)

/* The system's, but that it counts, and refuses what has one page in it, as if that were locked. */
static int purge_calls;
static uintptr_t locked;

int madvise(void *start, size_t bytes, int advice)
{
    purge_calls++;
    if (locked - (uintptr_t)start < bytes) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, start, bytes, advice);
}

static uint64_t used[WORDS], dirty[WORDS], aged[WORDS];
static struct bmm__run_map map;

/* Units of some size, the first at an address of which 2 MiB divide all but so many of those units. */
static void fresh_of(uint32_t unit_shift, uint32_t before)
{
    memset(used, 0, sizeof used);
    memset(dirty, 0, sizeof dirty);
    memset(aged, 0, sizeof aged);
    static char *memory;
    if (memory == NULL)
        memory = bmm__os_map((size_t)(UNITS + 64) << 16, (size_t)2 << 20);
    map = (struct bmm__run_map){ .start = (uintptr_t)memory + ((size_t)before << unit_shift),
                                 .unit_shift = unit_shift,
                                 .unit_count = UNITS,
                                 .used = used,
                                 .dirty = dirty,
                                 .aged = aged };
}

static void fresh(void)
{
    fresh_of(12, 0);
}

static uint32_t take(uint32_t count, uint32_t align)
{
    uint32_t dirty_count;
    return bmm__run_map_take(&map, count, align, &dirty_count);
}

PLAIN_TEST(lowest_run_first_and_none_when_full)
{
    fresh();
    PLAIN_CHECK(take(3, 1) == 0 && take(70, 1) == 3 && take(1, 1) == 73);
    PLAIN_CHECK(take(8, 8) == 80 && take(6, 1) == 74 && take(1, 1) == 88);
    PLAIN_CHECK(take(UNITS - 89, 1) == 89);
    PLAIN_CHECK(take(1, 1) == BMM__RUN_NONE);
    bmm__run_map_give(&map, 60, 10, false);
    PLAIN_CHECK(take(11, 1) == BMM__RUN_NONE && take(10, 1) == 60);
}

PLAIN_TEST(take_at_is_all_or_nothing)
{
    fresh();
    uint32_t dirty_count;
    PLAIN_CHECK(bmm__run_map_take_at(&map, 130, 1, &dirty_count));
    PLAIN_CHECK(!bmm__run_map_take_at(&map, 10, 121, &dirty_count));
    PLAIN_CHECK(!bmm__run_map_take_at(&map, UNITS - 1, 2, &dirty_count));
    PLAIN_CHECK(bmm__run_map_free_at(&map, 10, 1000) == 120 && bmm__run_map_free_before(&map, 130, 500) == 130);
    PLAIN_CHECK(bmm__run_map_take_at(&map, 10, 120, &dirty_count));
    PLAIN_CHECK(bmm__run_map_free_before(&map, 10, 500) == 10 && bmm__run_map_free_at(&map, 131, 5) == 5);
    PLAIN_CHECK(!bmm__run_map_take_all(&map, &dirty_count));
}

PLAIN_TEST(dirty_units_are_counted_and_purged_after_two_passes)
{
    fresh();
    size_t before = bmm__dirty_bytes;
    struct bmm__purge_work purged = bmm__purge_work_begin(SIZE_MAX, BMM__PURGE_NO_END);
    uint32_t dirty_count = 99;
    PLAIN_CHECK(take(200, 1) == 0);
    memset((void *)map.start, 0xee, 200 * 4096); /* NOLINT */
    bmm__run_map_give(&map, 0, 200, true);
    PLAIN_CHECK(bmm__dirty_bytes == before + 200 * 4096);
    PLAIN_CHECK(bmm__run_map_age(&map, false, &purged) && purged.given_bytes == 0);
    PLAIN_CHECK(bmm__run_map_take(&map, 50, 1, &dirty_count) == 0 && dirty_count == 50);
    PLAIN_CHECK(bmm__run_map_age(&map, false, &purged) && purged.given_bytes == 150 * 4096);
    PLAIN_CHECK(bmm__dirty_bytes == before);
    PLAIN_CHECK(bmm__run_map_take(&map, 150, 1, &dirty_count) == 50 && dirty_count == 0);
    for (size_t i = 50 * 4096; i < 200 * 4096; i++)
        PLAIN_CHECK(((char *)map.start)[i] == 0);      /* NOLINT */
    PLAIN_CHECK(((char *)map.start)[0] == (char)0xee); /* NOLINT */
}

PLAIN_TEST(what_is_handed_out_last_is_purged_first)
{
    fresh();
    size_t before = bmm__dirty_bytes;
    uint32_t part = UINT32_MAX, dirty_count;
    PLAIN_CHECK(take(800, 1) == 0);
    memset((void *)map.start, 0xee, 800 * 4096); /* NOLINT */
    bmm__run_map_give(&map, 0, 700, true);       /* 700 to 799 stay in use */
    struct bmm__purge_work purged = bmm__purge_work_begin(10 * 4096, BMM__PURGE_NO_END);
    PLAIN_CHECK(!bmm__run_map_purge_last(&map, &part, &purged) && part == 1);
    PLAIN_CHECK(purged.given_bytes == (700 - PART) * 4096 && purged.asked_bytes == purged.given_bytes);
    PLAIN_CHECK(bmm__dirty_bytes == before + PART * 4096);
    PLAIN_CHECK(bmm__run_map_take(&map, PART + 10, 1, &dirty_count) == 0 && dirty_count == PART);
    PLAIN_CHECK(((char *)map.start)[(PART - 1) * 4096] == (char)0xee); /* NOLINT */
    for (size_t i = (size_t)PART * 4096; i < (size_t)700 * 4096; i++)
        PLAIN_CHECK(((char *)map.start)[i] == 0); /* NOLINT */
    purged.most_bytes = SIZE_MAX;
    PLAIN_CHECK(bmm__run_map_purge_last(&map, &part, &purged) && part == 0);
    PLAIN_CHECK(purged.given_bytes == (700 - PART) * 4096);
}

PLAIN_TEST(neighbours_are_given_back_by_one_call)
{
    fresh();
    struct bmm__purge_work purged = bmm__purge_work_begin(SIZE_MAX, BMM__PURGE_NO_END);
    PLAIN_CHECK(take(300, 1) == 0);
    bmm__run_map_give(&map, 1, 199, true);
    bmm__run_map_give(&map, 201, 99, true); /* 0 and 200 stay in use */
    purge_calls = 0;
    PLAIN_CHECK(bmm__run_map_age(&map, true, &purged) && purged.given_bytes == 298 * 4096);
    PLAIN_CHECK(purge_calls == 2);
}

PLAIN_TEST(a_part_ends_where_2_mib_of_addresses_do)
{
    static const struct {
        uint32_t unit_shift, before, calls; /* for all units */
    } cases[] = { { 12, 0, 2 }, { 12, 500, 3 }, { 12, 16, 2 }, { 14, 100, 9 }, { 16, 0, 32 }, { 16, 31, 33 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fresh_of(cases[i].unit_shift, cases[i].before);
        size_t before = bmm__dirty_bytes;
        PLAIN_CHECK(take(UNITS, 1) == 0);
        bmm__run_map_give(&map, 0, UNITS, true);
        struct bmm__purge_work purged = bmm__purge_work_begin(SIZE_MAX, BMM__PURGE_NO_END);
        purge_calls = 0;
        PLAIN_CHECK(bmm__run_map_age(&map, true, &purged) && bmm__dirty_bytes == before);
        PLAIN_CHECK(purged.given_bytes == (size_t)UNITS << map.unit_shift && purge_calls == (int)cases[i].calls);
        bmm__run_map_give(&map, 700, 1, true);
        bmm__run_map_give(&map, 0, 1, true);
        uint32_t part = UINT32_MAX;
        PLAIN_CHECK(bmm__run_map_purge_last(&map, &part, &purged) && bmm__dirty_bytes == before);
        PLAIN_CHECK(purge_calls == (int)cases[i].calls + 2);
    }
}

PLAIN_TEST(a_slice_is_over_before_a_step_like_the_last_would_make_it_too_long_and_stays_so)
{
    struct bmm__purge_work purged = bmm__purge_work_begin(10, 3600000000000u);
    PLAIN_CHECK(!bmm__purge_work_is_over(&purged));
    purged.asked_bytes = 10;
    PLAIN_CHECK(bmm__purge_work_is_over(&purged));
    purged.most_bytes = SIZE_MAX;
    PLAIN_CHECK(!bmm__purge_work_is_over(&purged));
    purged = bmm__purge_work_begin(SIZE_MAX, 60000000);
    usleep(40000);
    PLAIN_CHECK(bmm__purge_work_is_over(&purged) && bmm__purge_work_is_over(&purged));
}

PLAIN_TEST(a_slice_ends_after_the_call_that_is_at_its_end_and_the_next_goes_on)
{
    fresh();
    size_t before = bmm__dirty_bytes;
    struct bmm__purge_work purged = bmm__purge_work_begin(SIZE_MAX, 0);
    PLAIN_CHECK(take(UNITS, 1) == 0);
    for (uint32_t i = 0; i < 6; i++)
        bmm__run_map_give(&map, i * 100, 10, true); /* all in the first part */
    uint32_t part = UINT32_MAX;
    PLAIN_CHECK(!bmm__run_map_purge_last(&map, &part, &purged) && part == 1 && purged.given_bytes == 10 * 4096);
    for (uint32_t i = 1; i < 6; i++) {
        PLAIN_CHECK(bmm__dirty_bytes == before + (6 - i) * 10 * 4096);
        bool is_complete = bmm__run_map_age(&map, true, &purged);
        PLAIN_CHECK(!is_complete && purged.given_bytes == (i + 1) * 10 * 4096);
    }
    PLAIN_CHECK(bmm__run_map_age(&map, true, &purged) && bmm__dirty_bytes == before);
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t dirty_count = 99;
        PLAIN_CHECK(bmm__run_map_take(&map, 10, 1, &dirty_count) == i * 100 && dirty_count == 0);
    }
}

PLAIN_TEST(what_was_freed_while_a_pass_waits_is_kept_until_the_next_but_one)
{
    fresh();
    struct bmm__purge_work purged = bmm__purge_work_begin(SIZE_MAX, 0);
    PLAIN_CHECK(take(UNITS, 1) == 0);
    bmm__run_map_give(&map, 0, 10, true);
    bmm__run_map_give(&map, 100, 10, true);
    PLAIN_CHECK(bmm__run_map_age(&map, false, &purged) && purged.given_bytes == 0);
    PLAIN_CHECK(!bmm__run_map_age(&map, false, &purged) && purged.given_bytes == 10 * 4096);
    bmm__run_map_give(&map, 200, 10, true);
    while (!bmm__run_map_age(&map, false, &purged))
        ;
    PLAIN_CHECK(purged.given_bytes == 20 * 4096);
    while (!bmm__run_map_age(&map, false, &purged))
        ;
    PLAIN_CHECK(purged.given_bytes == 30 * 4096);
}

PLAIN_TEST(what_the_system_keeps_stays_dirty)
{
    fresh();
    size_t before = bmm__dirty_bytes;
    struct bmm__purge_work purged = bmm__purge_work_begin(SIZE_MAX, BMM__PURGE_NO_END);
    PLAIN_CHECK(take(400, 1) == 0);
    bmm__run_map_give(&map, 0, 400, true);
    locked = map.start + (size_t)100 * 4096;
    PLAIN_CHECK(bmm__run_map_age(&map, true, &purged));
    PLAIN_CHECK(purged.asked_bytes == 400 * 4096 && purged.given_bytes == 368 * 4096);
    PLAIN_CHECK(bmm__dirty_bytes == before + 32 * 4096);
    locked = 0;
    uint32_t dirty_count = 99;
    PLAIN_CHECK(bmm__run_map_take_at(&map, 96, 32, &dirty_count) && dirty_count == 32);
    PLAIN_CHECK(bmm__run_map_take_at(&map, 0, 96, &dirty_count) && dirty_count == 0);
}

/* Time is always over, or as much as may be asked for: it gets past what is refused all the same. */
PLAIN_TEST(what_the_system_keeps_does_not_keep_the_rest)
{
    for (int is_time = 0; is_time < 2; is_time++) {
        fresh();
        size_t before = bmm__dirty_bytes;
        PLAIN_CHECK(take(UNITS, 1) == 0);
        for (uint32_t at = 0; at < 800; at += 100)
            bmm__run_map_give(&map, at, 10, true);
        locked = map.start;
        int slices = 0;
        struct bmm__purge_work purged;
        do
            purged = is_time ? bmm__purge_work_begin(SIZE_MAX, 0) : bmm__purge_work_begin(1, BMM__PURGE_NO_END);
        while (!bmm__run_map_age(&map, true, &purged) && ++slices < 20);
        PLAIN_CHECK(slices < 20 && bmm__dirty_bytes == before + 10 * 4096);
        bmm__run_map_give(&map, 50, 10, true);
        uint32_t part = UINT32_MAX;
        slices = 0;
        do
            purged = is_time ? bmm__purge_work_begin(SIZE_MAX, 0) : bmm__purge_work_begin(1, BMM__PURGE_NO_END);
        while (!bmm__run_map_purge_last(&map, &part, &purged) && ++slices < 20);
        PLAIN_CHECK(slices < 20 && bmm__dirty_bytes == before + 10 * 4096);
        locked = 0;
    }
}

static size_t told_bytes;
static uint32_t taken_meanwhile;

/* Another thread would see the same: what is purged is held, and it has to take what lies behind. */
static void told(uintptr_t start, size_t bytes)
{
    uint32_t at = (uint32_t)((start - map.start) >> map.unit_shift), dirty_count;
    told_bytes += bytes;
    PLAIN_CHECK(!bmm__run_map_take_at(&map, at, 1, &dirty_count));
    taken_meanwhile = take(60, 1);
}

PLAIN_TEST(what_is_purged_is_held_until_it_is_told_and_is_the_lowest_again_afterwards)
{
    fresh();
    map.purged = told;
    struct bmm__purge_work purged = bmm__purge_work_begin(SIZE_MAX, BMM__PURGE_NO_END);
    PLAIN_CHECK(take(400, 1) == 0);
    bmm__run_map_give(&map, 100, 200, true);
    PLAIN_CHECK(bmm__run_map_age(&map, true, &purged));
    PLAIN_CHECK(told_bytes == 200 * 4096 && taken_meanwhile == 400);
    PLAIN_CHECK(take(60, 1) == 100);
}

PLAIN_TEST(a_map_may_grow_between_two_slices)
{
    fresh();
    size_t before = bmm__dirty_bytes;
    map.unit_count = 100;
    PLAIN_CHECK(take(100, 1) == 0);
    bmm__run_map_give(&map, 0, 100, true);
    struct bmm__purge_work purged = bmm__purge_work_begin(1, BMM__PURGE_NO_END);
    PLAIN_CHECK(!bmm__run_map_age(&map, true, &purged));
    map.unit_count = UNITS;
    PLAIN_CHECK(take(UNITS, 1) == 0);
    bmm__run_map_give(&map, 0, UNITS, true);
    purged.most_bytes = SIZE_MAX;
    PLAIN_CHECK(bmm__run_map_age(&map, true, &purged));
    PLAIN_CHECK(bmm__dirty_bytes == before + PART * 4096);
    PLAIN_CHECK(bmm__run_map_age(&map, true, &purged) && bmm__dirty_bytes == before);
}

/* Threads take runs, write their name on every unit, check it, and give them back. */
static unsigned char holder[UNITS];
static uint32_t wrong;

static void *worker(void *name)
{
    unsigned seed = (unsigned)(uintptr_t)name;
    for (int i = 0; i < 30000; i++) {
        uint32_t count = 1 + (uint32_t)rand_r(&seed) % 90, dirty_count;
        uint32_t at = rand_r(&seed) % 4 == 0 ? (uint32_t)rand_r(&seed) % UNITS : BMM__RUN_NONE;
        if (at == BMM__RUN_NONE)
            at = take(count, 1u << rand_r(&seed) % 4);
        else if (!bmm__run_map_take_at(&map, at, count, &dirty_count))
            continue;
        if (at == BMM__RUN_NONE)
            continue;
        for (uint32_t unit = at; unit < at + count; unit++)
            if (bmm__exchange_acq_rel(&holder[unit], (unsigned char)(uintptr_t)name) != 0)
                bmm__add_relaxed(&wrong, 1);
        for (uint32_t unit = at; unit < at + count; unit++)
            if (bmm__exchange_acq_rel(&holder[unit], 0) != (unsigned char)(uintptr_t)name)
                bmm__add_relaxed(&wrong, 1);
        bmm__run_map_give(&map, at, count, (i & 1) != 0);
        struct bmm__purge_work purged = bmm__purge_work_begin(SIZE_MAX, i % 256 < 128 ? BMM__PURGE_NO_END : 0);
        if (i % 64 == 0 && (uintptr_t)name == 1)
            bmm__run_map_age(&map, i % 128 == 0, &purged);
        uint32_t part = UINT32_MAX;
        if (i % 64 == 32 && (uintptr_t)name == 1)
            bmm__run_map_purge_last(&map, &part, &purged);
    }
    return NULL;
}

PLAIN_TEST(no_unit_has_two_holders)
{
    fresh();
    size_t before = bmm__dirty_bytes, dirty_count = 0;
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        PLAIN_CHECK(pthread_create(&threads[i], NULL, worker, (void *)(i + 1)) == 0); /* NOLINT */
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    PLAIN_CHECK(wrong == 0);
    for (unsigned i = 0; i < WORDS; i++) {
        PLAIN_CHECK(used[i] == 0);
        dirty_count += (unsigned)__builtin_popcountll(dirty[i]);
    }
    PLAIN_CHECK(bmm__dirty_bytes == before + dirty_count * 4096);
}
