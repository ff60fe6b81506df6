/* Spans change hands as span.h says: nothing stays behind with an owner that sleeps or is gone. */
#include "tests/plain.h"

#include "core/arena.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/heap.h"
#include "core/page_map.h"
#include "core/process.h"
#include "core/purge.h"
#include "core/remote.h"
#include "core/valid.h"
#include "core/window.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    bmm__purge_all(); /* the heap of a thread that is gone may be warm still, with spans of its own */
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

/* What a sleeping owner keeps once others have swept are its current spans: one per class, 60 granules at most. */
PLAIN_TEST(an_owner_that_sleeps_keeps_its_current_spans_at_most)
{
    bmm__heap_minimize(bmm__thread_heap());
    PLAIN_CHECK(used_after_owner_sleeps(false) <= 60 * BMM__GRANULE);
    PLAIN_CHECK(used_after_owner_sleeps(true) <= 60 * BMM__GRANULE);
}

/* Frees all blocks, one of each span after the other, so that its last frees are of all spans; and sleeps. */
static void *scatterer(void *stride)
{
    bmm__core_free(bmm__core_alloc(16, 16, false)); /* so that it has a heap, and with it an outbox */
    for (size_t k = 0; k < (uintptr_t)stride; k++)
        for (size_t i = k; i < BLOCKS; i += (uintptr_t)stride)
            bmm__core_free(blocks[i]);
    sem_post(&allocated);
    sem_wait(&may_go_on);
    return NULL;
}

PLAIN_TEST(a_thread_that_frees_and_sleeps_keeps_few_spans)
{
    enum { BYTES = 4096, SPAN_BYTES = 4 * BMM__GRANULE, KEPT_BYTES = 8 << 20 };
    pthread_t thread;
    sem_init(&allocated, 0, 0);
    sem_init(&may_go_on, 0, 0);
    bmm__purge_all();
    size_t before = bmm__load_relaxed(&bmm__arena_used_bytes);
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = bmm__core_alloc(BYTES, 16, false);
    PLAIN_CHECK(bmm__load_relaxed(&bmm__arena_used_bytes) - before > 5 * (size_t)KEPT_BYTES);
    pthread_create(&thread, NULL, scatterer, (void *)(SPAN_BYTES / BYTES)); /* NOLINT */
    sem_wait(&allocated);
    bmm__purge_all();
    size_t after = bmm__load_relaxed(&bmm__arena_used_bytes);
    sem_post(&may_go_on);
    pthread_join(thread, NULL);
    PLAIN_CHECK(after <= before + KEPT_BYTES + 4 * SPAN_BYTES);
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

/* Hands blocks over as soon as it has them, so that they are freed while their span is current, and shown; and after that. */
static void *handed[64];
static uint32_t is_through;

/* As bmm__free_other (entry.h). */
static void free_quickly(void *p)
{
    struct bmm__list_place place;
    if (p == NULL)
        return;
    bool is_anothers = bmm__heap->token == (uintptr_t)bmm__heap && bmm__page_map_look((uintptr_t)p, &place) &&
                       bmm__list_at(place)->owner != (uintptr_t)bmm__heap;
    if (!is_anothers || !bmm__remote_try_add(bmm__heap, bmm__list_at(place), p))
        PLAIN_CHECK(bmm__core_free(p));
}

static void *maker(void *seed)
{
    unsigned random = (unsigned)(uintptr_t)seed;
    for (int i = 0; i < 300000; i++) {
        size_t size = i % 4096 < 2048 ? 48 : 16 + (size_t)rand_r(&random) % 2000;
        size_t *block = bmm__core_alloc(size, 16, false);
        block[0] = (uintptr_t)block ^ 1;
        block = bmm__exchange_acq_rel(&handed[rand_r(&random) % 64], block);
        free_quickly(block); /* handed to nobody meanwhile */
    }
    return NULL;
}

static void *freer(void *unused)
{
    bmm__core_free(bmm__core_alloc(16, 16, false));
    for (unsigned i = 0; bmm__load_acquire(&is_through) == 0; i++) {
        size_t *block = bmm__exchange_acq_rel(&handed[i % 64], NULL);
        if (block != NULL && block[0] != ((uintptr_t)block ^ 1))
            bmm__add_relaxed(&wrong, 1);
        free_quickly(block);
    }
    PLAIN_CHECK(bmm__heap_invalid(bmm__heap) == NULL);
    return unused;
}

static bool count_block(uintptr_t start, size_t bytes, bool is_certain, void *context)
{
    (void)start, (void)is_certain;
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

static void check_valid(void)
{
    const char *broken = bmm__heap_invalid(bmm__thread_heap());
    broken = broken != NULL ? broken : bmm__run_map_invalid(&bmm__window_map);
    if (broken != NULL)
        plain_stop(PLAIN_FAILED, "not valid: %s", broken);
}

enum { SLOTS = 2048, SLOT_BYTES = 32 }; /* of a granule */

static size_t used_bytes(void)
{
    return bmm__load_relaxed(&bmm__arena_used_bytes);
}

/* Blocks that fill count spans, which begin with the first block and follow each other. */
static void **fill_spans(int count)
{
    static void *held[5 * SLOTS];
    bmm__purge_all(); /* heaps of threads that are gone */
    bmm__heap_minimize(bmm__thread_heap());
    size_t before = used_bytes();
    for (int i = 0; i < count * SLOTS; i++)
        held[i] = bmm__core_alloc(SLOT_BYTES, 16, false);
    PLAIN_CHECK(used_bytes() == before + (size_t)count * BMM__GRANULE);
    return held;
}

static void free_all(void **held, int count)
{
    while (count != 0)
        bmm__core_free(held[--count]);
    check_valid();
}

static uintptr_t granule_of(const void *block)
{
    return (uintptr_t)block / BMM__GRANULE;
}

PLAIN_TEST(blocks_freed_by_another_thread_as_they_come_are_each_freed_once)
{
    pthread_t threads[2];
    for (uintptr_t round = 1; round <= 3; round++) {
        bmm__store_release(&is_through, 0u);
        bmm__heap_minimize(bmm__thread_heap());
        bmm__purge_all();
        size_t before[2] = { 0 }, after[2] = { 0 };
        bmm__core_visit_blocks(count_block, before);
        pthread_create(&threads[0], NULL, maker, (void *)round); /* NOLINT */
        pthread_create(&threads[1], NULL, freer, NULL);
        pthread_join(threads[0], NULL);
        bmm__store_release(&is_through, 1u);
        pthread_join(threads[1], NULL);
        for (int i = 0; i < 64; i++) {
            free_quickly(handed[i]);
            handed[i] = NULL;
        }
        bmm__core_visit_blocks(count_block, after);
        PLAIN_CHECK(wrong == 0 && after[0] == before[0] && after[1] == before[1]);
    }
}

PLAIN_TEST(a_program_that_goes_up_and_down_opens_no_span)
{
    void **held = fill_spans(2);
    uintptr_t first = granule_of(held[0]), second = granule_of(held[SLOTS]);
    size_t full = used_bytes();
    for (int round = 0; round < 10; round++) {
        free_all(held, 2 * SLOTS);
        PLAIN_CHECK(used_bytes() == full);
        for (int i = 0; i < 2 * SLOTS; i++) {
            held[i] = bmm__core_alloc(SLOT_BYTES, 16, false);
            PLAIN_CHECK(granule_of(held[i]) == first || granule_of(held[i]) == second);
        }
        check_valid();
    }
    free_all(held, 2 * SLOTS);
}

PLAIN_TEST(a_spare_span_goes_back_with_the_next_sweep)
{
    void **held = fill_spans(2);
    size_t full = used_bytes();
    free_all(held, 2 * SLOTS);
    PLAIN_CHECK(used_bytes() == full);
    bmm__purge_all();
    PLAIN_CHECK(used_bytes() == full - BMM__GRANULE); /* the current one is left */
    check_valid();                                    /* its owner has not come by yet, and now it does */
    for (int i = 0; i < 2 * SLOTS; i++)
        held[i] = memset(bmm__core_alloc(SLOT_BYTES, 16, false), i, SLOT_BYTES);
    PLAIN_CHECK(used_bytes() == full);
    check_valid();
    free_all(held, 2 * SLOTS);
}

PLAIN_TEST(a_spare_span_is_the_last_to_be_used_and_the_only_one)
{
    void **held = fill_spans(5);
    size_t full = used_bytes();
    for (int i = 0; i < SLOTS + SLOTS / 2; i++) /* all of the second span, and then half of the third */
        bmm__core_free(held[SLOTS + i]);
    check_valid();
    PLAIN_CHECK(used_bytes() == full);
    for (int i = 0; i < SLOTS / 2; i++) {
        held[2 * SLOTS + i] = bmm__core_alloc(SLOT_BYTES, 16, false);
        PLAIN_CHECK(granule_of(held[2 * SLOTS + i]) == granule_of(held[2 * SLOTS + SLOTS - 1]));
    }
    for (int i = 0; i < SLOTS; i++) { /* all of the fourth: the spare one is in the list */
        bmm__core_free(held[3 * SLOTS + i]);
        PLAIN_CHECK(used_bytes() == (i < SLOTS - 1 ? full : full - BMM__GRANULE));
    }
    check_valid();
    free_all(held, SLOTS);
    free_all(held + 2 * SLOTS, SLOTS);
    free_all(held + 4 * SLOTS, SLOTS);
}

/* Waves of allocating and freeing, so that spans go through all their states; with alignments, and now and then with
 * everything given back. */
PLAIN_TEST(invariants_hold_after_every_step)
{
    enum { COUNT = 6000, STEPS = 120000 };
    static void *held[COUNT];
    unsigned seed = 7;
    for (int step = 0; step < STEPS; step++) {
        int i = rand_r(&seed) % COUNT;
        bool is_growing = step / 10000 % 2 == 0;
        if (held[i] != NULL && (!is_growing || rand_r(&seed) % 3 == 0)) {
            bmm__core_free(held[i]);
            held[i] = NULL;
        } else if (held[i] == NULL && is_growing) {
            size_t size = (size_t)rand_r(&seed) % (rand_r(&seed) % 16 == 0 ? 50000 : 700) + 1;
            held[i] = bmm__core_alloc(size, (size_t)16 << (rand_r(&seed) % 20 == 0 ? rand_r(&seed) % 9 : 0), false);
            PLAIN_CHECK(held[i] != NULL);
        }
        if (step % 5000 == 4999)
            bmm__heap_minimize(bmm__thread_heap());
        if (step % 200 == 0)
            check_valid();
    }
    for (int i = 0; i < COUNT; i++)
        if (held[i] != NULL)
            bmm__core_free(held[i]);
    check_valid();
    bmm__heap_minimize(bmm__thread_heap());
    check_valid();
}

/* Many short threads leave blocks to each other, while one gives everything back all the time: spans are claimed under
 * their owners' hands, and heaps change hands (a descriptor freed while it was in a list crashed here once). */
static void *mayfly(void *name)
{
    unsigned seed = (unsigned)(uintptr_t)name;
    for (int i = 0; i < 600; i++) {
        size_t *block = bmm__core_alloc(16 + (size_t)rand_r(&seed) % 2000, 16, false);
        block[0] = (uintptr_t)block;
        size_t *other = bmm__exchange_acq_rel(&table[rand_r(&seed) % 512], i % 8 == 0 ? block : NULL);
        if (i % 8 != 0)
            bmm__core_free(block);
        if (other != NULL && other[0] != (uintptr_t)other)
            bmm__add_relaxed(&wrong, 1);
        if (other != NULL)
            bmm__core_free(other);
        if (i % 32 == 31)
            bmm__heap_minimize(bmm__thread_heap());
    }
    return NULL;
}

static void *giver(void *stop)
{
    while (!bmm__load_relaxed((bool *)stop))
        bmm__purge_all();
    return NULL;
}

PLAIN_TEST(threads_that_come_and_go_while_memory_goes_back)
{
    bool stop = false;
    pthread_t gives, threads[4];
    memset(table, 0, sizeof table);
    wrong = 0;
    pthread_create(&gives, NULL, giver, &stop);
    for (uintptr_t round = 0; round < 400; round++) {
        for (uintptr_t i = 0; i < 4; i++)
            PLAIN_CHECK(pthread_create(&threads[i], NULL, mayfly, (void *)(round * 4 + i)) == 0); /* NOLINT */
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
    bmm__store_relaxed(&stop, true);
    pthread_join(gives, NULL);
    PLAIN_CHECK(wrong == 0);
    check_valid();
}

/* The spare span of a thread that goes up and down is claimed under its hands. */
PLAIN_TEST(spare_spans_are_claimed_while_their_owner_goes_up_and_down)
{
    bool stop = false;
    pthread_t gives;
    void **held = fill_spans(3);
    free_all(held, 3 * SLOTS);
    size_t kept = used_bytes(); /* with the spare one */
    pthread_create(&gives, NULL, giver, &stop);
    unsigned claimed = 0;
    for (uint32_t round = 0; round < 3000; round++) {
        for (uint32_t i = 0; i < 3 * SLOTS; i++)
            *(uint32_t *)(held[i] = bmm__core_alloc(SLOT_BYTES, 16, false)) = round + i;
        for (uint32_t i = 3 * SLOTS; i-- > 0; bmm__core_free(held[i]))
            PLAIN_CHECK(*(uint32_t *)held[i] == round + i);
        if (round % 64 == 0)
            nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
        claimed += used_bytes() < kept;
    }
    bmm__store_relaxed(&stop, true);
    pthread_join(gives, NULL);
    PLAIN_CHECK(claimed != 0);
    check_valid();
}
