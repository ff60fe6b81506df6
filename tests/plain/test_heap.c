/* Spans change hands as span.h says: nothing stays behind with an owner that sleeps or is gone. */
#include "tests/plain.h"

#include "core/arena.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/heap.h"
#include "core/page_map.h"
#include "core/process.h"
#include "core/purge.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

enum { BLOCKS = 20000 };
static void *blocks[BLOCKS];
static sem_t allocated, may_go_on;

static size_t bytes_of(size_t i)
{
    return 16 + i % 60 * 16;
}

/* Allocates, frees every block whose number kept says, and sleeps. */
static void *sleeper(void *frees_odd)
{
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = bmm__core_alloc(bytes_of(i), 16, false);
    for (size_t i = 1; frees_odd != NULL && i < BLOCKS; i += 2)
        bmm__core_free(blocks[i]);
    sem_post(&allocated);
    sem_wait(&may_go_on);
    return NULL;
}

static size_t used_after_owner_sleeps(bool owner_frees_odd)
{
    size_t before = bmm__load_relaxed(&bmm__arena_used_bytes);
    pthread_t owner;
    sem_init(&allocated, 0, 0);
    sem_init(&may_go_on, 0, 0);
    pthread_create(&owner, NULL, sleeper, owner_frees_odd ? blocks : NULL);
    sem_wait(&allocated);
    size_t full = bmm__load_relaxed(&bmm__arena_used_bytes) - before;
    PLAIN_CHECK(full > (size_t)BLOCKS * 400);
    for (size_t i = 0; i < BLOCKS; i += owner_frees_odd ? 2 : 1)
        bmm__core_free(blocks[i]);
    bmm__purge_all(); /* its sweep finds what two racing last frees left */
    bmm__heap_minimize(bmm__thread_heap());
    size_t after = bmm__load_relaxed(&bmm__arena_used_bytes) - before;
    sem_post(&may_go_on);
    pthread_join(owner, NULL);
    return after;
}

/* What a sleeping owner keeps are its current spans: one per class, 60 classes of one granule at most. */
PLAIN_TEST(an_owner_that_sleeps_keeps_its_current_spans_at_most)
{
    bmm__heap_minimize(bmm__thread_heap());
    PLAIN_CHECK(used_after_owner_sleeps(false) <= 60 * BMM__GRANULE);
    PLAIN_CHECK(used_after_owner_sleeps(true) <= 60 * BMM__GRANULE);
}

PLAIN_TEST(a_thread_that_is_gone_keeps_nothing)
{
    bmm__heap_minimize(bmm__thread_heap());
    size_t before = bmm__load_relaxed(&bmm__arena_used_bytes);
    for (int round = 0; round < 3; round++) {
        pthread_t owner;
        sem_init(&allocated, 0, 0);
        sem_init(&may_go_on, 0, 1);
        pthread_create(&owner, NULL, sleeper, NULL);
        pthread_join(owner, NULL);
        for (size_t i = 0; i < BLOCKS; i++)
            bmm__core_free(blocks[i]);
        bmm__heap_minimize(bmm__thread_heap());
        bmm__purge_all();
    }
    PLAIN_CHECK(bmm__load_relaxed(&bmm__arena_used_bytes) <= before + 2 * BMM__GRANULE);
}

/* Four threads hand blocks to each other through one table; each block carries its own address and size. */
static void *table[512];
static uint32_t wrong;

static void *exchanger(void *name)
{
    unsigned seed = (unsigned)(uintptr_t)name;
    for (int i = 0; i < 200000; i++) {
        size_t size = 16 + (size_t)rand_r(&seed) % (rand_r(&seed) % 8 == 0 ? 40000 : 300);
        size_t *block = bmm__core_alloc(size, 16, false);
        block[0] = (uintptr_t)block ^ size;
        block[1] = size;
        size_t *other = bmm__exchange_acq_rel(&table[rand_r(&seed) % 512], block);
        if (other != NULL) {
            if (other[0] != ((uintptr_t)other ^ other[1]))
                bmm__add_relaxed(&wrong, 1);
            bmm__core_free(other);
        }
    }
    return NULL;
}

PLAIN_TEST(blocks_that_cross_threads_keep_their_content)
{
    pthread_t threads[4];
    for (int round = 0; round < 3; round++) {
        for (uintptr_t i = 0; i < 4; i++)
            PLAIN_CHECK(pthread_create(&threads[i], NULL, exchanger, (void *)(i + 1)) == 0); /* NOLINT */
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
    PLAIN_CHECK(wrong == 0);
    for (int i = 0; i < 512; i++)
        if (table[i] != NULL)
            PLAIN_CHECK(bmm__core_free(table[i]));
}

static bool count_block(uintptr_t start, size_t bytes, void *context)
{
    (void)start;
    ((size_t *)context)[0]++;
    ((size_t *)context)[1] += bytes;
    return true;
}

PLAIN_TEST(the_walk_sees_exactly_what_is_in_use)
{
    enum { COUNT = 3000 };
    static char *kept[COUNT];
    size_t before[2] = { 0, 0 }, during[2] = { 0, 0 }, after[2] = { 0, 0 };
    bmm__core_visit_blocks(count_block, before);
    for (size_t i = 0; i < COUNT; i++)
        kept[i] = bmm__core_alloc(1 + i * 37 % 90000, 16, false);
    for (size_t i = 0; i < COUNT; i += 3)
        bmm__core_free(kept[i]);
    bmm__core_visit_blocks(count_block, during);
    PLAIN_CHECK(during[0] - before[0] == COUNT - COUNT / 3);
    for (size_t i = 0; i < COUNT; i++)
        if (i % 3 != 0)
            bmm__core_free(kept[i]);
    bmm__core_visit_blocks(count_block, after);
    PLAIN_CHECK(after[0] == before[0] && after[1] == before[1]);
}
