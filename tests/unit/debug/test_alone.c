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

static uint32_t has_claimed;

static void *free_own_and_say_so(void *unused)
{
    free_own(NULL);
    bmm__store_release(&has_claimed, 1u);
    return unused;
}

/* A thread past its last destructor has no state any more. */
static void *claim_without_a_state(void *unused)
{
    bmm__thread_own = NULL;
    bmm__alone_end();
    bmm__store_release(&has_claimed, 1u);
    return unused;
}

static void check_waits(void *(*body)(void *))
{
    layer_open("mode=leak");
    free_own(NULL);
    if (!BMM__HAS_UNLOCKED_CAS)
        return;
    bmm__thread_own->is_at_work = 1;
    pthread_t other, one_more;
    cr_assert_eq(pthread_create(&other, NULL, body, NULL), 0);
    usleep(20000);
    cr_assert_null(bmm__load_acquire(&bmm__alone));
    cr_assert_eq(bmm__load_acquire(&bmm__alone_is_over), 0);
    cr_assert_eq(bmm__load_acquire(&has_claimed), 0);
    cr_assert_eq(pthread_create(&one_more, NULL, claim_without_a_state, NULL), 0); /* while the other is waiting */
    usleep(20000);
    cr_assert_eq(bmm__load_acquire(&has_claimed), 0);
    bmm__store_release(&bmm__thread_own->is_at_work, 0u);
    pthread_join(other, NULL);
    pthread_join(one_more, NULL);
    cr_assert_eq(has_claimed, 1);
    cr_assert_eq(bmm__alone_is_over, 1);
    layer_close();
}

Test(alone, another_one_waits_until_the_first_is_through)
{
    check_waits(free_own_and_say_so);
}

Test(alone, one_without_a_state_waits_too)
{
    check_waits(claim_without_a_state);
}

/* 0: it is the one. 1: it is over. 2: neither. */
static int what_a_child_finds(void)
{
    pid_t child = fork();
    if (child == 0) {
        bmm__alone_fork_child();
        _exit(bmm__alone == bmm__thread_own && bmm__alone_is_over == 0 ? 0
              : bmm__alone == NULL && bmm__alone_is_over != 0          ? 1
                                                                       : 2);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static void *fork_as_another(void *found)
{
    bmm__call_alloc(SIZE, 16, false, BMM_KIND_MALLOC); /* has a state, and has claimed nothing */
    *(int *)found = what_a_child_finds();
    return NULL;
}

Test(alone, a_forked_child_has_one_only_if_it_was_the_one)
{
    layer_open("mode=leak");
    free_own(NULL);
    int found = 2;
    pthread_t other;
    cr_assert_eq(what_a_child_finds(), BMM__HAS_UNLOCKED_CAS ? 0 : 1);
    cr_assert_eq(pthread_create(&other, NULL, fork_as_another, &found), 0);
    pthread_join(other, NULL);
    cr_assert_eq(found, 1);
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
