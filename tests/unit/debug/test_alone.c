#include "debug/alone.h"

#include "layer.h"

#include "debug/calls.h"
#include "debug/error.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

enum { BLOCKS = 2000, TRIES = 40, SIZE = 48 };

static char *blocks[BLOCKS];
static uint32_t arrived; /* threads, at all blocks together */

static void drop(void *p)
{
    bmm__call_free(p, SIZE_MAX, 0, BMM_KIND_MALLOC);
}

static void *free_own(void *unused)
{
    drop(bmm__call_alloc(SIZE, 16, false, BMM_KIND_MALLOC));
    return unused;
}

Test(alone, the_first_thread_is_alone_until_another_one_claims)
{
    layer_open("mode=leak");
    free_own(NULL);
    if (!BMM__HAS_UNLOCKED_CAS) {
        cr_assert_null(bmm__alone);
        return;
    }
    cr_assert_eq(bmm__alone, bmm__thread_own);
    cr_assert_eq(bmm__alone_is_over, 0);
    pthread_t other;
    cr_assert_eq(pthread_create(&other, NULL, free_own, NULL), 0);
    pthread_join(other, NULL);
    cr_assert_null(bmm__alone);
    cr_assert_eq(bmm__alone_is_over, 1);
    free_own(NULL);
    cr_assert_null(bmm__alone);
    cr_assert_eq(bmm__error_count(), 0);
    layer_close();
}

/* A signal handler that frees while its own thread is at work as the one. */
Test(alone, a_handler_leaves_its_thread_at_work)
{
    layer_open("mode=leak");
    free_own(NULL);
    bmm__thread_own->is_at_work = 1;
    free_own(NULL);
    cr_assert_eq(bmm__thread_own->is_at_work, 1);
    bmm__alone_end_now();
    cr_assert_eq(bmm__alone_is_over, BMM__HAS_UNLOCKED_CAS ? 0 : 1);
    cr_assert_null(bmm__alone);
    bmm__thread_own->is_at_work = 0;
    free_own(NULL);
    bmm__alone_end();
    cr_assert_eq(bmm__alone_is_over, 1);
    cr_assert_eq(bmm__error_count(), 0);
    layer_close();
}

static void free_all_together(void)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        bmm__add_acq_rel(&arrived, 1u);
        for (unsigned spins = 0; bmm__load_acquire(&arrived) < 2 * i + 2; spins++)
            if (spins > 1000)
                sched_yield();
        drop(blocks[i]);
    }
}

static void *free_as_the_other(void *unused)
{
    free_all_together();
    return unused;
}

static void free_twice_at_once(void)
{
    layer_open("mode=leak");
    for (uint32_t i = 0; i < BLOCKS; i++)
        blocks[i] = bmm__call_alloc(SIZE, 16, false, BMM_KIND_MALLOC);
    pthread_t other;
    if (pthread_create(&other, NULL, free_as_the_other, NULL) != 0)
        _exit(2);
    free_all_together();
    pthread_join(other, NULL);
    layer_close();
    const struct bmm_snapshot_error *error = layer_error(0);
    _exit(bmm__error_count() == BLOCKS && error->kind == BMM_ERROR_DOUBLE_FREE ? 0 : 1);
}

/* The first of them while it is alone, and just then the other claims for the first time. */
Test(alone, blocks_that_two_free_at_once_are_found_out)
{
    for (unsigned i = 0; i < TRIES; i++) {
        pid_t child = fork();
        if (child == 0)
            free_twice_at_once();
        int status;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status), "try %u: signal %d", i, WTERMSIG(status));
        cr_assert_eq(WEXITSTATUS(status), 0, "try %u", i);
    }
}
