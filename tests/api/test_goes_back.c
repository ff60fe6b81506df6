/* What a thread has given back goes to the system while it goes on and allocates seldom, whatever it did last before
 * that. Each case runs in a process of its own, all at the same time, for most of it is waiting. */
#define _GNU_SOURCE
#include "tests/facts.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { MIB = 1 << 20, COUNT = 30000, BYTES = 2000, BLOCK = 28 * MIB, BACK = 20 * MIB };

static char *blocks[COUNT];

static void pair(void)
{
    char *volatile p = malloc(64);
    free(p);
}

static void pairs_seldom(int count)
{
    for (int i = 0; i < count; i++) {
        nanosleep(&(struct timespec){ 0, 12000000 }, NULL);
        pair();
    }
}

static char *filled(size_t bytes)
{
    return memset(malloc(bytes), 1, bytes);
}

static void fill(void)
{
    for (int i = 0; i < COUNT; i++)
        blocks[i] = filled(BYTES);
}

static void release(void)
{
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
}

static void free_and_go_on_quickly_for_a_while(void)
{
    fill();
    release();
    for (int i = 0; i < 100; i++)
        pair();
}

static void shrink_a_block(void)
{
    for (int i = 0; i < 40; i++)
        pair();
    char *p = realloc(filled(BLOCK), BLOCK / 14);
    if (p == NULL)
        _exit(2);
}

/* Each time what waits was used again, and nothing waits any more. */
static void free_a_block_and_take_it_again(void)
{
    for (int i = 0; i < 30; i++) {
        char *p = filled(BLOCK);
        pair();
        free(p);
    }
}

static void free_what_another_thread_allocated(void)
{
    for (int i = 0; i < 40; i++)
        pair();
    release();
}

/* The last of them gives back the span before the one that begins with the next; nothing is left to be sent. */
static void free_a_span_of_another_thread_at_last(void)
{
    int last = COUNT; /* where blocks begin behind guards */
    for (int i = 0; i < 40; i++)
        pair();
    for (int i = 0; i < COUNT; i++)
        if ((uintptr_t)blocks[i] % 65536 == 0)
            last = i;
    for (int i = 0; i < last; i++)
        free(blocks[i]);
}

/* Tells how much of what was resident after the work is not any more when time has gone on. work: where a function stands. */
static void *work_and_go_on(void *work)
{
    (*(void (**)(void))work)();
    size_t before = facts_resident_bytes();
    pairs_seldom(200);
    size_t after = facts_resident_bytes();
    return (void *)(uintptr_t)(before > after ? before - after : 0); /* NOLINT */
}

static pid_t start(void (*work)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child != 0)
        return child;
    void *back = NULL;
    if (work == free_what_another_thread_allocated || work == free_a_span_of_another_thread_at_last) {
        pthread_t thread;
        fill();
        pthread_create(&thread, NULL, work_and_go_on, &work);
        pthread_join(thread, &back);
    } else {
        back = work_and_go_on(&work);
    }
    printf("  %zu MiB went back\n", (size_t)(uintptr_t)back / MIB);
    fflush(NULL);
    _exit((uintptr_t)back >= BACK ? 0 : 1);
}

static char *halves[COUNT];
static int has_freed_half;

static void *free_half_and_trim(void *trim)
{
    for (int i = 1; i < COUNT; i += 2)
        free(halves[i]);
    __atomic_store_n(&has_freed_half, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n((int *)trim, __ATOMIC_ACQUIRE) == 0)
        usleep(100);
    malloc_trim(0);
    return NULL;
}

/* What nobody has noticed yet: others freed half of each span, and then its owner the rest. Looks that found nothing come
 * seldom, but not when everything is asked for. */
PLAIN_TEST(everything_goes_back_when_asked_though_looking_was_in_vain)
{
    int trim = 0;
    pthread_t thread;
    for (int i = 0; i < COUNT; i++)
        halves[i] = filled(BYTES);
    pthread_create(&thread, NULL, free_half_and_trim, &trim);
    while (__atomic_load_n(&has_freed_half, __ATOMIC_ACQUIRE) == 0)
        usleep(100);
    pairs_seldom(100);
    for (int i = 0; i < COUNT; i += 2)
        free(halves[i]);
    size_t before = facts_resident_bytes();
    __atomic_store_n(&trim, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    PLAIN_CHECK(facts_resident_bytes() + BACK < before);
}

PLAIN_TEST(what_waits_goes_back_to_a_thread_that_goes_on_seldom)
{
    static void (*const works[])(void) = { free_and_go_on_quickly_for_a_while, shrink_a_block,
                                           free_a_block_and_take_it_again, free_what_another_thread_allocated,
                                           free_a_span_of_another_thread_at_last };
    enum { WORKS = sizeof works / sizeof *works };
    pid_t children[WORKS];
    for (int i = 0; i < WORKS; i++)
        children[i] = start(works[i]);
    for (int i = 0; i < WORKS; i++) {
        int status = -1;
        waitpid(children[i], &status, 0);
        if (status != 0)
            plain_stop(PLAIN_FAILED, "work %d: wait status %d", i, status);
    }
}
