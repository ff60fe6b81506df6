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

/* The system's, but that it counts, and refuses what begins at one address. */
static int purge_calls;
static void *refused;

int madvise(void *start, size_t bytes, int advice)
{
    purge_calls++;
    if (start == refused) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, start, bytes, advice);
}

static uint64_t used[WORDS], dirty[WORDS], aged[WORDS];
static struct bmm__run_map map;

static void fresh(void)
{
    memset(used, 0, sizeof used);
    memset(dirty, 0, sizeof dirty);
    memset(aged, 0, sizeof aged);
    static char *memory;
    if (memory == NULL)
        memory = bmm__os_map(UNITS * 4096 + BMM__GRANULE, BMM__GRANULE);
    map = (struct bmm__run_map){
        .start = (uintptr_t)memory, .unit_shift = 12, .unit_count = UNITS, .used = used, .dirty = dirty, .aged = aged
    };
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
    struct bmm__purge_work purged = { SIZE_MAX, BMM__PURGE_NO_END, 0, 0 };
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
    struct bmm__purge_work purged = { 10 * 4096, BMM__PURGE_NO_END, 0, 0 };
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
    struct bmm__purge_work purged = { SIZE_MAX, BMM__PURGE_NO_END, 0, 0 };
    PLAIN_CHECK(take(300, 1) == 0);
    bmm__run_map_give(&map, 1, 199, true);
    bmm__run_map_give(&map, 201, 99, true); /* 0 and 200 stay in use */
    purge_calls = 0;
    PLAIN_CHECK(bmm__run_map_age(&map, true, &purged) && purged.given_bytes == 298 * 4096);
    PLAIN_CHECK(purge_calls == 2);
}

PLAIN_TEST(a_slice_ends_after_the_call_that_is_at_its_end_and_the_next_goes_on)
{
    fresh();
    size_t before = bmm__dirty_bytes;
    struct bmm__purge_work purged = { SIZE_MAX, 1, 0, 0 }; /* which is long over */
    PLAIN_CHECK(take(UNITS, 1) == 0);
    for (uint32_t i = 0; i < 6; i++)
        bmm__run_map_give(&map, i * 100, 10, true); /* the last in the second part */
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

PLAIN_TEST(what_the_system_keeps_stays_dirty)
{
    fresh();
    size_t before = bmm__dirty_bytes;
    struct bmm__purge_work purged = { SIZE_MAX, BMM__PURGE_NO_END, 0, 0 };
    PLAIN_CHECK(take(100, 1) == 0);
    bmm__run_map_give(&map, 0, 40, true);
    bmm__run_map_give(&map, 60, 40, true);
    refused = (char *)map.start + (size_t)60 * 4096; /* NOLINT */
    PLAIN_CHECK(bmm__run_map_age(&map, true, &purged));
    refused = NULL;
    PLAIN_CHECK(purged.asked_bytes == 80 * 4096 && purged.given_bytes == 40 * 4096);
    PLAIN_CHECK(bmm__dirty_bytes == before + 40 * 4096);
    uint32_t dirty_count = 99;
    PLAIN_CHECK(bmm__run_map_take_at(&map, 60, 40, &dirty_count) && dirty_count == 40);
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
        struct bmm__purge_work purged = { SIZE_MAX, i % 256 < 128 ? BMM__PURGE_NO_END : 1, 0, 0 };
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
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        PLAIN_CHECK(pthread_create(&threads[i], NULL, worker, (void *)(i + 1)) == 0); /* NOLINT */
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    PLAIN_CHECK(wrong == 0);
    for (unsigned i = 0; i < WORDS; i++)
        PLAIN_CHECK(used[i] == 0);
}
