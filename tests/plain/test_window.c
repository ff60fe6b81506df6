/* The window grows by much, so that threads seldom wait for it; by little where the process may have little, and once the system
 * refused more. */
#define _GNU_SOURCE
#include "tests/plain.h"

#include "core/os.h"
#include "core/page_map.h"
#include "core/window.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MUCH ((size_t)64 << 20 >> BMM__GRANULE_SHIFT)
#define LITTLE ((size_t)4 << 20 >> BMM__GRANULE_SHIFT)
#define MIB ((rlim_t)1 << 20)

static size_t step(size_t wanted)
{
    size_t before = bmm__window_count;
    return bmm__window_grow(wanted) ? bmm__window_count - before : 0;
}

static bool limit(int resource, rlim_t mib)
{
    const struct rlimit limit = { mib == RLIM_INFINITY / MIB ? RLIM_INFINITY : mib * MIB, RLIM_INFINITY };
    return setrlimit(resource, &limit) == 0;
}

/* Of 768 MiB a sixteenth each. */
static int steps_under(int resource)
{
    if (!limit(resource, 768) || !bmm__window_grow(1))
        return 1;
    return step(1) == 48 * MIB >> BMM__GRANULE_SHIFT ? 0 : 2; /* the window has room for a few */
}
static int steps_under_an_address_limit(void)
{
    return steps_under(RLIMIT_AS);
}
static int steps_under_a_data_limit(void)
{
    return steps_under(RLIMIT_DATA);
}

static bool is_room(size_t bytes)
{
    void *start = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return start != MAP_FAILED && munmap(start, bytes) == 0;
}

/* A limit that comes later leaves the program nearly all that it lets it have, and no more than that is asked for from then on. */
static int steps_under_a_later_limit(void)
{
    rlim_t mib = 64;
    if (!bmm__window_grow(1) || step(1) != MUCH)
        return 1;
    while (mib < 65536 && limit(RLIMIT_AS, mib) && !is_room(40 * MIB))
        mib += 8;
    if (step(1) != LITTLE || bmm__window_is_tight || !is_room(30 * MIB))
        return 2;
    while (is_room(LITTLE << BMM__GRANULE_SHIFT))
        if (mmap(NULL, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            return 3;
    if (step(1) != 1 || !bmm__window_is_tight)
        return 4;
    return limit(RLIMIT_AS, RLIM_INFINITY / MIB) && step(1) == LITTLE ? 0 : 5;
}

/* Something lies behind it, for long: then it stays as it is. */
static int steps_against_a_wall(void)
{
    size_t page = bmm__os_page_bytes();
    if (!bmm__window_grow(1))
        return 1;
    char *end = (char *)bmm__window_start + (bmm__window_count << BMM__GRANULE_SHIFT); /* NOLINT */
    if (mmap(end, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != end)
        return 2;
    if (step(1) != 0 || munmap(end, page) != 0 || step(1) == 0) /* it may be there for a moment only */
        return 3;
    end = (char *)bmm__window_start + (bmm__window_count << BMM__GRANULE_SHIFT); /* NOLINT */
    if (mmap(end, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != end)
        return 4;
    for (int i = 0; i < 200; i++)
        if (step(1) != 0)
            return 5;
    return munmap(end, page) == 0 && step(1) == 0 && !bmm__window_is_tight ? 0 : 6;
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true /* its own memory is under the limits, and it decides what lies where */
#else
#define IS_SANITIZED false
#endif

/* Emulators let programs have more. */
static bool are_limits_kept(void)
{
    if (IS_SANITIZED)
        return false;
    struct rlimit before[2];
    if (getrlimit(RLIMIT_AS, &before[0]) != 0 || getrlimit(RLIMIT_DATA, &before[1]) != 0 ||
        before[0].rlim_max != RLIM_INFINITY || before[1].rlim_max != RLIM_INFINITY)
        return false; /* there are limits already */
    bool is_kept = limit(RLIMIT_AS, 16) && !is_room(64 * MIB);
    return limit(RLIMIT_AS, RLIM_INFINITY / MIB) && is_kept;
}

/* In a copy of the process, which has no window yet. */
static int in_copy(int (*check)(void))
{
    pid_t child = fork();
    if (child == 0)
        _exit(check());
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

PLAIN_TEST(little_under_a_limit)
{
    PLAIN_CHECK_EQUAL(bmm__window_count, 0);
    if (!are_limits_kept() || bmm__os_counts_mapped())
        PLAIN_SKIP("this system does not keep limits, or counts what is mapped");
    PLAIN_CHECK_EQUAL(in_copy(steps_under_a_data_limit), 0);
    PLAIN_CHECK_EQUAL(in_copy(steps_under_an_address_limit), 0);
}

PLAIN_TEST(what_the_system_gives)
{
    if (!are_limits_kept() || bmm__os_counts_mapped())
        PLAIN_SKIP("this system does not keep limits, or counts what is mapped");
    PLAIN_CHECK_EQUAL(in_copy(steps_under_a_later_limit), 0);
}

PLAIN_TEST(nothing_where_something_lies)
{
    struct rlimit before;
    if (IS_SANITIZED || (getrlimit(RLIMIT_AS, &before) == 0 && before.rlim_cur != RLIM_INFINITY))
        PLAIN_SKIP("there is a limit, or a sanitizer decides what lies where");
    PLAIN_CHECK_EQUAL(in_copy(steps_against_a_wall), 0);
}

PLAIN_TEST(by_much)
{
    if (bmm__os_counts_mapped())
        PLAIN_SKIP("this system counts what is mapped");
    PLAIN_CHECK(bmm__window_grow(1)); /* makes it */
    for (int i = 0; i < 4; i++)
        PLAIN_CHECK_EQUAL(step(1), MUCH);
}

PLAIN_TEST(by_more_if_more_is_wanted)
{
    PLAIN_CHECK_EQUAL(step(MUCH + 7), MUCH + 7);
}

/* What is new can be used. */
PLAIN_TEST(as_memory)
{
    PLAIN_CHECK(step(1) != 0);
    volatile char *last =
        (volatile char *)(bmm__window_start + (bmm__window_count << BMM__GRANULE_SHIFT) - 1); /* NOLINT */
    PLAIN_CHECK_EQUAL(*last, 0);
    *last = 1;
    PLAIN_CHECK_EQUAL(*last, 1);
}
