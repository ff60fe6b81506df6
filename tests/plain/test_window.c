/* The window grows by as much as is there, so that threads seldom wait for it; by little where the process may have little
 * address space, and by what the system gives. */
#define _GNU_SOURCE
#include "tests/plain.h"

#include "core/os.h"
#include "core/page_map.h"
#include "core/window.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define FIRST ((size_t)64 << 20 >> BMM__GRANULE_SHIFT)
#define MOST ((size_t)256 << 20 >> BMM__GRANULE_SHIFT)
#define LITTLE ((size_t)4 << 20 >> BMM__GRANULE_SHIFT)
#define MIB ((rlim_t)1 << 20)

static size_t step(size_t wanted)
{
    size_t before = bmm__window_count;
    return bmm__window_grow(wanted) ? bmm__window_count - before : 0;
}

static bool limit(rlim_t mib)
{
    const struct rlimit limit = { mib * MIB, RLIM_INFINITY };
    return setrlimit(RLIMIT_AS, &limit) == 0;
}

static int steps_under_a_limit(void)
{
    size_t part = 768 * MIB / 16 >> BMM__GRANULE_SHIFT;
    if (!limit(768) || !bmm__window_grow(1))
        return 1;
    return step(1) == part ? 0 : 2; /* the window has room for a few */
}

/* A limit that comes later is met by halves, and not asked for more again. */
static int steps_under_a_later_limit(void)
{
    rlim_t mib = 0;
    if (!bmm__window_grow(1) || step(1) != FIRST)
        return 1;
    for (mib = 64; mib < 65536 && limit(mib) &&
                   mmap(NULL, 40 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;)
        mib += 16; /* room for 40 MiB, most of which that has taken now */
    if (!limit(mib + 40))
        return 2;
    size_t got = step(1);
    if (got < LITTLE || got >= FIRST || bmm__window_is_tight)
        return 3;
    return limit(RLIM_INFINITY / MIB) && step(1) == got ? 0 : 4;
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
    PLAIN_CHECK_EQUAL(in_copy(steps_under_a_limit), 0);
}

PLAIN_TEST(what_the_system_gives)
{
    if (bmm__os_counts_mapped())
        PLAIN_SKIP("this system counts what is mapped");
    PLAIN_CHECK_EQUAL(in_copy(steps_under_a_later_limit), 0);
}

PLAIN_TEST(by_as_much_as_is_there)
{
    if (bmm__os_counts_mapped())
        PLAIN_SKIP("this system counts what is mapped");
    PLAIN_CHECK(bmm__window_grow(1)); /* makes it */
    PLAIN_CHECK_EQUAL(step(1), FIRST);
    PLAIN_CHECK_EQUAL(step(1), 2 * FIRST);
    PLAIN_CHECK_EQUAL(step(1), MOST);
    PLAIN_CHECK_EQUAL(step(1), MOST);
}

PLAIN_TEST(by_more_if_more_is_wanted)
{
    PLAIN_CHECK_EQUAL(step(MOST + 7), MOST + 7);
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
