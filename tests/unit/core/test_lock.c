/* A fork holds every lock: those that are defined, and those that are made while the process runs. */
#include "core/lock.h"

#include <criterion/criterion.h>

#include <pthread.h>

BMM__LOCK(defined, BMM__RANK_EXPECT);
static struct bmm__lock made = BMM__LOCK_INIT(BMM__RANK_JIT);
static pthread_barrier_t barrier;

static bool is_free(struct bmm__lock *lock)
{
    bool is_taken = bmm__lock_try(lock);
    if (is_taken)
        bmm__lock_release(lock);
    return is_taken;
}

static void *count_free(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&barrier);
    return (void *)(uintptr_t)(is_free(&defined) + is_free(&made)); /* NOLINT */
}

/* Of the two, for another thread, which exists before locks are taken. */
static pthread_t begin(void)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, count_free, NULL), 0);
    return thread;
}

static unsigned free_for(pthread_t thread)
{
    void *count;
    pthread_barrier_wait(&barrier);
    pthread_join(thread, &count);
    return (unsigned)(uintptr_t)count;
}

Test(lock, a_fork_takes_all_and_gives_back_what_it_took, .timeout = 60)
{
    pthread_barrier_init(&barrier, NULL, 2);
    bmm__lock_register(&made);
    cr_assert_eq(free_for(begin()), 2);

    pthread_t thread = begin();
    bmm__lock_take_all();
    unsigned count = free_for(thread);
    bmm__lock_take(&defined); /* who forks may go on with what it has */
    bmm__lock_release(&defined);
    bmm__lock_release_all();
    cr_expect_eq(count, 0, "another thread gets none of them");
    cr_expect_eq(free_for(begin()), 2);

    thread = begin();
    bmm__lock_take(&defined);
    bmm__lock_take_all();
    bmm__lock_release_all();
    count = free_for(thread);
    bmm__lock_release(&defined);
    cr_expect_eq(count, 1, "what it had before it keeps");

    thread = begin();
    bmm__lock_take_all();
    bmm__lock_reset_all(); /* in the child */
    cr_expect_eq(free_for(thread), 2);
}
