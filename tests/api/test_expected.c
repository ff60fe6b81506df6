/* What the calls of expected leaks accept and refuse; what the report makes of them is asked in apps/test_expected. */
#include "tests/facts.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static bool is_refused(bool result, int error)
{
    return !result && errno == error;
}

PLAIN_TEST(a_live_block_can_be_expected)
{
    char *p = malloc(100), on_stack;
    errno = 5;
    PLAIN_CHECK(bmm_expect_leak(p) && errno == 5);
    PLAIN_CHECK(bmm_expect_leak(p)); /* twice is once */
    PLAIN_CHECK(is_refused(bmm_expect_leak(p + 16), EINVAL));
    PLAIN_CHECK(is_refused(bmm_expect_leak(&on_stack), EINVAL));
    PLAIN_CHECK(is_refused(bmm_expect_leak(NULL), EINVAL));
    PLAIN_CHECK(bmm_unexpect_leak(p));
    PLAIN_CHECK(is_refused(bmm_unexpect_leak(p), EINVAL));
    char *volatile freed = p;
    free(p);
    PLAIN_CHECK(is_refused(bmm_expect_leak(freed), EINVAL));
}

PLAIN_TEST(an_expected_block_is_used_and_freed_as_any)
{
    char *p = malloc(100);
    PLAIN_CHECK(bmm_expect_leak(p));
    struct bmm_memory_options options;
    PLAIN_CHECK(bmm_memory_options(p, &options) && options.start == p);
    PLAIN_CHECK(bmm_usable_size(p) >= 100);
    p = realloc(p, 5000);
    PLAIN_CHECK(p != NULL);
    if (facts_is_recorded()) /* the mark went with the block */
        PLAIN_CHECK(is_refused(bmm_unexpect_leak(p), EINVAL));
    free(p);
}

PLAIN_TEST(blocks_of_a_size_can_be_expected)
{
    PLAIN_CHECK(is_refused(bmm_expect_leaks(100, 0), EINVAL));
    PLAIN_CHECK(is_refused(bmm_unexpect_leaks(100, 1), EINVAL));
    PLAIN_CHECK(bmm_expect_leaks(33, (size_t)-1) && is_refused(bmm_expect_leaks(33, 1), EINVAL));
    PLAIN_CHECK(bmm_unexpect_leaks(33, (size_t)-1));
    PLAIN_CHECK(bmm_expect_leaks(100, 3) && bmm_expect_leaks(100, 2) && bmm_expect_leaks(101, 1));
    PLAIN_CHECK(is_refused(bmm_unexpect_leaks(100, 6), EINVAL));
    PLAIN_CHECK(bmm_unexpect_leaks(100, 5) && bmm_unexpect_leaks(101, 1));
    PLAIN_CHECK(is_refused(bmm_unexpect_leaks(100, 1), EINVAL));
}

PLAIN_TEST(as_many_sizes_as_a_program_may_have)
{
    for (size_t size = 1; size <= 500; size++)
        PLAIN_CHECK(bmm_expect_leaks(size, 1));
    for (size_t size = 1; size <= 500; size++)
        PLAIN_CHECK(bmm_unexpect_leaks(size, 1));
    PLAIN_CHECK(is_refused(bmm_unexpect_leaks(250, 1), EINVAL));
}

PLAIN_TEST(stacks_can_be_expected)
{
    static char long_pattern[300];
    memset(long_pattern, 'x', sizeof long_pattern - 1);
    PLAIN_CHECK(is_refused(bmm_expect_leaks_of(NULL), EINVAL));
    PLAIN_CHECK(is_refused(bmm_expect_leaks_of(""), EINVAL));
    PLAIN_CHECK(is_refused(bmm_expect_leaks_of(long_pattern), EINVAL));
    if (!facts_is_recorded()) {
        PLAIN_CHECK(is_refused(bmm_expect_leaks_of("make_*"), ENOTSUP));
        return;
    }
    PLAIN_CHECK(bmm_expect_leaks_of("make_*") && bmm_expect_leaks_of("make_*") && bmm_expect_leaks_of("begin"));
    PLAIN_CHECK(bmm_unexpect_leaks_of("make_*") && bmm_unexpect_leaks_of("begin"));
    PLAIN_CHECK(is_refused(bmm_unexpect_leaks_of("make_*"), EINVAL));
}

PLAIN_TEST(scopes_end_what_they_begin)
{
    bmm_expect_push();
    bmm_expect_push();
    void *p = malloc(10);
    PLAIN_CHECK(bmm_expect_pop() && bmm_expect_pop());
    if (facts_is_recorded()) {
        PLAIN_CHECK(is_refused(bmm_expect_pop(), EINVAL));
        PLAIN_CHECK(bmm_unexpect_leak(p)); /* it was marked */
    }
    free(p);
}

static void *use(void *seed)
{
    unsigned long wrong = 0;
    for (unsigned i = 0; i < 2000; i++) {
        bmm_expect_push();
        char *p = malloc(i % 500 + 1);
        wrong += !bmm_expect_leak(p) || !bmm_expect_leaks((unsigned long)seed, 1);
        wrong += !bmm_unexpect_leaks((unsigned long)seed, 1) || !bmm_unexpect_leak(p);
        free(p);
        wrong += !bmm_expect_pop();
    }
    return (void *)wrong; /* NOLINT */
}

static void use_by(unsigned thread_count)
{
    pthread_t threads[16];
    unsigned long wrong = 0;
    for (unsigned i = 0; i < thread_count; i++)
        pthread_create(&threads[i], NULL, use, (void *)(unsigned long)(i / 2 + 1)); /* NOLINT */
    for (unsigned i = 0; i < thread_count; i++) {
        void *result;
        pthread_join(threads[i], &result);
        wrong += (unsigned long)result;
    }
    PLAIN_CHECK_EQUAL(wrong, 0);
}

PLAIN_TEST(two_threads)
{
    use_by(2);
}

PLAIN_TEST(sixteen_threads)
{
    use_by(16);
}
