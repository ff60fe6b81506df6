/* For test_stack_forks: forks while eight threads allocate and another one loads and unloads a library. Every child allocates,
 * leaks one block of LEAK_BYTES in leak_here, by way of way_1 to way_3, and ends by _exit: at exit, glibc waits for the loader's
 * lock, which a thread of the parent may have held for ever.
 *
 *     stack_forks CHILDREN */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 8, LEAK_BYTES = 123, CHILD_SECONDS = 20, AT_ONCE = 4 };

#define FRAME __attribute__((noinline))
#define FRAME_ENDS __asm__ volatile("" : : : "memory")

static atomic_bool is_over;
static void *volatile leaked;

FRAME static void allocate(unsigned depth, unsigned seed)
{
    void *p = malloc(16 + seed % 500);
    if (depth > 0)
        allocate(depth - 1, seed * 5 + 1);
    FRAME_ENDS;
    free(p);
}

static void *allocating(void *seed)
{
    for (unsigned i = (unsigned)(size_t)seed; !is_over; i += 7)
        allocate(i % 20, i);
    return NULL;
}

static void *loading(void *unused)
{
    (void)unused;
    while (!is_over) {
        void *library = dlopen("libsqlite3.so.0", RTLD_NOW | RTLD_LOCAL);
        if (library) {
            const char *(*version)(void);
            *(void **)&version = dlsym(library, "sqlite3_libversion");
            if (version)
                version();
            dlclose(library);
        }
    }
    return NULL;
}

FRAME static void leak_here(void)
{
    leaked = malloc(LEAK_BYTES);
    FRAME_ENDS;
}
FRAME static void way_3(void)
{
    leak_here();
    FRAME_ENDS;
}
FRAME static void way_2(void)
{
    way_3();
    FRAME_ENDS;
}
FRAME static void way_1(void)
{
    way_2();
    FRAME_ENDS;
}

static void be_child(unsigned i)
{
    alarm(CHILD_SECONDS);
    for (unsigned k = 0; k < 30; k++)
        allocate((i + k) % 20, i * 3 + k);
    way_1();
    leaked = NULL;
    _exit(0);
}

static int collect(unsigned *failed)
{
    int status;
    if (wait(&status) < 0)
        return 0;
    if (status != 0) {
        fprintf(stderr, "stack_forks: a child ended with status %x\n", (unsigned)status);
        ++*failed;
    }
    return 1;
}

int main(int argument_count, char **arguments)
{
    unsigned children = argument_count > 1 ? (unsigned)atoi(arguments[1]) : 100, failed = 0, running = 0;
    pthread_t threads[THREADS + 1];
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, allocating, (void *)(i * 1000));
    pthread_create(&threads[THREADS], NULL, loading, NULL);
    for (unsigned i = 0; i < children; i++) {
        pid_t child = fork();
        if (child == 0)
            be_child(i);
        if (child < 0) {
            perror("fork");
            return 1;
        }
        if (++running >= AT_ONCE)
            running -= (unsigned)collect(&failed);
    }
    while (collect(&failed))
        continue;
    is_over = true;
    for (int i = 0; i <= THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%u children, %u failed\n", children, failed);
    return failed != 0;
}
