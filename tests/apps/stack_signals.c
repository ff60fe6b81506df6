/* Captures that SIGPROF interrupts, a thousand times a second: what is interrupted, and what the handler captures itself, on the
 * same memo, must be as without one. For tests/reliability/test_stack_signals.
 *
 *     stack_signals SECONDS     "<captures> captures, <captures> in <signals> signals, <wrong> wrong" */
#define _GNU_SOURCE
#include "debug/stack.h"

#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline))

enum { THREADS = 2, DEPTH_MOST = 90 };

static __thread struct bmm__stack_memo *memo;
static __thread uint64_t random_state;
static atomic_ulong captures, captures_in_handler, signals, wrong;
static time_t end;

static unsigned drawn(unsigned below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % below;
}

static void print_stack(const char *what, uint32_t id)
{
    uintptr_t pc;
    fprintf(stderr, "%s %u:", what, id);
    while (id != 0 && bmm__depot_node(id, &pc, &id))
        fprintf(stderr, " %lx", (unsigned long)pc);
    fputc('\n', stderr);
}

/* Both are called here, so they differ in the innermost frame, and in no other. */
NOINLINE static bool is_right(void)
{
    uint32_t with = bmm__stack_capture(memo), without = bmm__stack_capture(NULL), outside_with, outside_without;
    uintptr_t pc;
    bool is_equal = bmm__depot_node(with, &pc, &outside_with) && bmm__depot_node(without, &pc, &outside_without) &&
                    outside_with == outside_without;
    if (!is_equal && atomic_load(&wrong) < 10) {
        print_stack("with", with);
        print_stack("without", without);
    }
    return is_equal;
}

static void handle(int number)
{
    (void)number;
    atomic_fetch_add(&signals, 1);
    if (memo == NULL)
        return;
    atomic_fetch_add(&wrong, !is_right());
    atomic_fetch_add(&captures_in_handler, 1);
}

NOINLINE static void wander(unsigned depth)
{
    volatile char *room = alloca(16 + drawn(30) * 16);
    room[0] = 1;
    atomic_fetch_add(&wrong, !is_right());
    atomic_fetch_add(&captures, 1);
    if (depth < DEPTH_MOST && drawn(DEPTH_MOST) > depth) {
        wander(depth + 1);
        if (drawn(4) == 0)
            wander(depth + 2);
    }
    room[1] = 1;
}

static void *work(void *seed)
{
    random_state = (uintptr_t)seed + 1;
    memo = bmm__stack_memo_make();
    while (time(NULL) < end)
        wander(0);
    return NULL;
}

int main(int argument_count, char **arguments)
{
    end = time(NULL) + (argument_count > 1 ? atoi(arguments[1]) : 10);
    bmm__stack_open(64);
    bmm__stack_start();
    struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };
    sigaction(SIGPROF, &action, NULL);
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF };
    timer_t timer;
    struct itimerspec every = { { 0, 1000000 }, { 0, 1000000 } };
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &every, NULL) != 0) {
        perror("timer");
        return 1;
    }
    pthread_t threads[THREADS];
    for (size_t i = 1; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    work(NULL);
    for (size_t i = 1; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    timer_delete(timer);
    printf("%lu captures, %lu in %lu signals, %lu wrong\n", atomic_load(&captures), atomic_load(&captures_in_handler),
           atomic_load(&signals), atomic_load(&wrong));
    return atomic_load(&wrong) != 0 || atomic_load(&captures_in_handler) == 0;
}
