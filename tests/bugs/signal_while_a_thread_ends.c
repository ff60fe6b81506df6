// A signal that comes while memory of a thread that ends is given back: its handler allocates.
// stdout: 1
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static __thread int is_armed;
static _Atomic int handled;

int munmap(void *start, size_t bytes)
{
    int result = (int)syscall(SYS_munmap, start, bytes);
    if (is_armed)
        raise(SIGUSR1);
    return result;
}

static void handle(int number)
{
    is_armed = 0;
    free(malloc(10));
    handled++;
    is_armed = 1;
}

enum { THREADS = 24 }; /* at once: more than debug/stack_memo.c keeps memos of (16), so that some are given back */
static pthread_barrier_t have_allocated;

static void *work(void *nothing)
{
    free(malloc(10));
    pthread_barrier_wait(&have_allocated);
    is_armed = 1;
    return nothing;
}

int main(void)
{
    signal(SIGUSR1, handle);
    pthread_t threads[THREADS];
    pthread_attr_t attributes; /* of stacks that libc all keeps, whatever the limits are */
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_barrier_init(&have_allocated, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], &attributes, work, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%d\n", handled > 0);
    return 0;
}
