/* The window grows by as much as is there, so that threads seldom wait for it; and by little where the process may have little
 * address space. */
#define _GNU_SOURCE
#include "tests/plain.h"

#include "core/os.h"
#include "core/page_map.h"
#include "core/window.h"

#include <sys/resource.h>
#include <sys/wait.h>

#define FIRST ((size_t)64 << 20 >> BMM__GRANULE_SHIFT)
#define MOST ((size_t)256 << 20 >> BMM__GRANULE_SHIFT)
#define LITTLE ((size_t)4 << 20 >> BMM__GRANULE_SHIFT)

static size_t step(size_t wanted)
{
    size_t before = bmm__window_count;
    return bmm__window_grow(wanted) ? bmm__window_count - before : 0;
}

static int steps_under_a_limit(void)
{
    const struct rlimit limit = { (rlim_t)768 << 20, (rlim_t)768 << 20 };
    if (setrlimit(RLIMIT_AS, &limit) != 0 || !bmm__window_grow(1))
        return 1;
    return step(1) == LITTLE && step(1) == LITTLE && step(LITTLE + 1) == LITTLE + 1 ? 0 : 2;
}

/* In a copy of the process, and before it has a window. */
PLAIN_TEST(little_under_a_limit)
{
    PLAIN_CHECK_EQUAL(bmm__window_count, 0);
    pid_t child = fork();
    if (child == 0)
        _exit(steps_under_a_limit());
    int status = -1;
    PLAIN_CHECK_EQUAL(waitpid(child, &status, 0), child);
    PLAIN_CHECK_EQUAL(status, 0);
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
