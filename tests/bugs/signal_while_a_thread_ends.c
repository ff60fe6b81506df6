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
static int handled;

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

static void *work(void *nothing)
{
    free(malloc(10));
    is_armed = 1;
    return nothing;
}

int main(void)
{
    signal(SIGUSR1, handle);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, work, NULL);
        pthread_join(thread, NULL);
    }
    printf("%d\n", handled > 0);
    return 0;
}
