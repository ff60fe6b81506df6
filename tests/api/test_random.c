/* Random operations of every call, by one thread and by four that hand blocks to each other; every block carries a
 * pattern that is checked whenever it is met. */
#include "tests/plain.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct block {
    unsigned char *start;
    size_t size, align;
};

enum { TABLE = 400 };
static struct block table[4][TABLE];
static pthread_mutex_t locks[4] = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
                                    PTHREAD_MUTEX_INITIALIZER };

static unsigned char pattern(size_t size, size_t i)
{
    return (unsigned char)(size * 31 + i * 7);
}

/* The first and last 64 bytes: enough to see a wrong move, cheap enough for large blocks. */
static void fill(const struct block *block)
{
    for (size_t i = 0; i < block->size; i = i == 63 && block->size > 128 ? block->size - 64 : i + 1)
        block->start[i] = pattern(block->size, i);
}

static bool is_intact(const struct block *block, size_t bytes)
{
    for (size_t i = 0; i < bytes; i = i == 63 && block->size > 128 ? block->size - 64 : i + 1)
        if (block->start[i] != pattern(block->size, i))
            return false;
    return ((uintptr_t)block->start & (block->align - 1)) == 0;
}

static size_t random_size(unsigned *seed)
{
    unsigned kind = (unsigned)rand_r(seed) % 100;
    size_t size = (size_t)rand_r(seed);
    return kind < 70 ? size % 600 : kind < 90 ? size % 40000 : kind < 99 ? size % 1500000 : size % 40000000;
}

static void allocate(struct block *block, unsigned *seed)
{
    block->size = random_size(seed);
    block->align = 16;
    switch (rand_r(seed) % 4) {
    case 0:
        block->start = calloc(1, block->size);
        for (size_t i = 0; i < block->size; i += i < 64 ? 1 : 509)
            PLAIN_CHECK(block->start[i] == 0);
        break;
    case 1:
        block->align = (size_t)1 << (4 + rand_r(seed) % 14);
        block->start = aligned_alloc(block->align, block->size);
        break;
    default:
        block->start = malloc(block->size);
    }
    PLAIN_CHECK(block->start != NULL && malloc_usable_size(block->start) >= block->size);
    fill(block);
}

/* One operation on one place of one table. */
static void operate(struct block *block, unsigned *seed)
{
    if (block->start == NULL) {
        allocate(block, seed);
        return;
    }
    PLAIN_CHECK(is_intact(block, block->size));
    if (rand_r(seed) % 2 == 0) {
        free(block->start);
        block->start = NULL;
        return;
    }
    size_t size = rand_r(seed) % 2 == 0 ? random_size(seed) : block->size + 1 + block->size / 8;
    if (size == 0)
        size = 1;
    unsigned char *moved = realloc(block->start, size);
    PLAIN_CHECK(moved != NULL);
    struct block as_it_was = { moved, block->size, 16 };
    if (block->size <= 128 || size >= block->size)
        PLAIN_CHECK(is_intact(&as_it_was, size < block->size ? size : block->size));
    *block = (struct block){ moved, size, 16 };
    fill(block);
}

static void empty(void)
{
    for (int t = 0; t < 4; t++)
        for (int i = 0; i < TABLE; i++) {
            if (table[t][i].start != NULL)
                PLAIN_CHECK(is_intact(&table[t][i], table[t][i].size));
            free(table[t][i].start);
            table[t][i].start = NULL;
        }
}

PLAIN_TEST(one_thread)
{
    unsigned seed = 7;
    for (int i = 0; i < 60000; i++)
        operate(&table[0][(unsigned)rand_r(&seed) % TABLE], &seed);
    empty();
}

static char failure[4][200];

static void *worker(void *name)
{
    unsigned seed = (unsigned)(uintptr_t)name + 100;
    for (int i = 0; i < 20000; i++) {
        unsigned t = (unsigned)rand_r(&seed) % 4;
        pthread_mutex_lock(&locks[t]);
        struct block *block = &table[t][(unsigned)rand_r(&seed) % TABLE];
        if (block->start != NULL && !is_intact(block, block->size))
            snprintf(failure[(uintptr_t)name], sizeof failure[0], "block %p of %zu", (void *)block->start, block->size);
        else if (block->start == NULL) {
            block->size = random_size(&seed) / 4;
            block->align = 16;
            block->start = malloc(block->size);
            fill(block);
        } else {
            free(block->start);
            block->start = NULL;
        }
        pthread_mutex_unlock(&locks[t]);
    }
    return NULL;
}

PLAIN_TEST(four_threads_that_share_their_blocks)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        PLAIN_CHECK(pthread_create(&threads[i], NULL, worker, (void *)i) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++)
        PLAIN_CHECK(failure[i][0] == '\0');
    empty();
}

/* A child has the parent's blocks, and the heaps of threads it has not: all can be freed, and used again. */
PLAIN_TEST(a_forked_child_can_use_what_other_threads_had)
{
    unsigned seed = 3;
    for (int i = 0; i < 2000; i++)
        operate(&table[0][(unsigned)rand_r(&seed) % TABLE], &seed);
    pthread_t thread;
    PLAIN_CHECK(pthread_create(&thread, NULL, worker, (void *)1) == 0); /* NOLINT */
    for (int round = 0; round < 5; round++) {
        for (int t = 0; t < 4; t++)
            pthread_mutex_lock(&locks[t]);
        pid_t child = fork();
        if (child == 0) {
            empty();
            for (int i = 0; i < 5000; i++)
                operate(&table[0][(unsigned)rand_r(&seed) % TABLE], &seed);
            empty();
            _exit(0);
        }
        for (int t = 0; t < 4; t++)
            pthread_mutex_unlock(&locks[t]);
        int status = -1;
        PLAIN_CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    }
    pthread_join(thread, NULL);
    empty();
}
