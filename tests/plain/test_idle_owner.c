/* A thread that sleeps for ever keeps nothing of what it allocated, whoever freed it; and if it wakes, it goes on (P7, heap.c). */
#include "tests/plain.h"

#include "core/arena.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/heap.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/process.h"
#include "core/purge.h"
#include "core/remote.h"
#include "core/valid.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of each size several dozen, in one span or two: so each class has a span that blocks are allocated from, and most have no other. */
static const size_t sizes[] = { 2500, 5000, 9000, 14000, 20000, 28000, 32768 };
enum { SIZE_COUNT = sizeof sizes / sizeof sizes[0], OF_EACH = 40, BLOCKS = SIZE_COUNT * OF_EACH };

enum who { OWNER, OTHERS, BOTH };

struct owner {
    enum who who; /* that frees */
    char *blocks[BLOCKS];
    sem_t is_asleep, may_wake;
};

static void fill(struct owner *owner)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        owner->blocks[i] = bmm__core_alloc(sizes[i % SIZE_COUNT], 16, false);
        memset(owner->blocks[i], (int)i, sizes[i % SIZE_COUNT]);
    }
}

static bool frees(enum who who, enum who me, size_t i)
{
    return who == BOTH ? (i / SIZE_COUNT % 2 != 0) == (me == OWNER) : who == me;
}

static void free_those_of(struct owner *owner, enum who me)
{
    for (size_t i = 0; i < BLOCKS; i++)
        if (frees(owner->who, me, i))
            bmm__core_free(owner->blocks[i]);
}

static void check_valid(void)
{
    const char *broken = bmm__heap_invalid(bmm__thread_heap());
    if (broken != NULL)
        plain_stop(PLAIN_FAILED, "not valid: %s", broken);
}

static void *sleep_and_go_on(void *context)
{
    struct owner *owner = context;
    fill(owner);
    free_those_of(owner, OWNER);
    sem_post(&owner->is_asleep);
    sem_wait(&owner->may_wake);
    fill(owner);
    for (size_t i = 0; i < BLOCKS; i++) {
        PLAIN_CHECK(owner->blocks[i][0] == (char)i && owner->blocks[i][sizes[i % SIZE_COUNT] - 1] == (char)i);
        bmm__core_free(owner->blocks[i]);
    }
    check_valid();
    return NULL;
}

static size_t used_bytes(void)
{
    return bmm__load_relaxed(&bmm__arena_used_bytes);
}

/* Nobody has let spans go of late. */
static void rest(void)
{
    bmm__heap_minimize(bmm__thread_heap());
    bmm__purge_all();
    nanosleep(&(struct timespec){ 0, 100000000 }, NULL);
}

static pthread_t thread;
static size_t used_before;

/* An owner that does so, and sleeps now. */
static struct owner *asleep(void *(*does)(void *), enum who who)
{
    static struct owner owner;
    rest();
    used_before = used_bytes();
    owner.who = who;
    sem_init(&owner.is_asleep, 0, 0);
    sem_init(&owner.may_wake, 0, 0);
    PLAIN_CHECK(pthread_create(&thread, NULL, does, &owner) == 0);
    sem_wait(&owner.is_asleep);
    return &owner;
}

static void wake(struct owner *owner)
{
    sem_post(&owner->may_wake);
    pthread_join(thread, NULL);
}

/* Bytes that an owner keeps while it sleeps, once the others have passed by. */
static size_t kept_bytes(enum who who)
{
    struct owner *owner = asleep(sleep_and_go_on, who);
    PLAIN_CHECK(who == OWNER || used_bytes() - used_before > (size_t)OF_EACH * 60000);
    free_those_of(owner, OTHERS);
    bmm__heap_send(bmm__thread_heap());
    bmm__purge_all();
    size_t kept = used_bytes() - used_before;
    wake(owner);
    return kept;
}

PLAIN_TEST(an_owner_that_frees_all_and_sleeps_keeps_nothing)
{
    PLAIN_CHECK_EQUAL(kept_bytes(OWNER), 0);
}

PLAIN_TEST(an_owner_that_sleeps_keeps_nothing_of_what_others_free)
{
    PLAIN_CHECK_EQUAL(kept_bytes(OTHERS), 0);
}

PLAIN_TEST(an_owner_that_frees_some_and_sleeps_keeps_nothing_when_others_have_freed_the_rest)
{
    PLAIN_CHECK_EQUAL(kept_bytes(BOTH), 0);
}

/* Works at full speed until it frees all it has, several spans of each size, and sleeps. */
enum { MANY = 20000, BYTES_MIN = 200, BYTES_MAX = 1200 };

static void *work_and_sleep(void *context)
{
    struct owner *owner = context;
    static char *many[MANY];
    unsigned seed = 1;
    for (int i = 0; i < 4 * MANY; i++) {
        char **block = &many[i < MANY ? i : rand_r(&seed) % MANY];
        if (i >= MANY)
            bmm__core_free(*block);
        *block = bmm__core_alloc(BYTES_MIN + (size_t)rand_r(&seed) % (BYTES_MAX - BYTES_MIN), 16, false);
    }
    for (int i = 0; i < MANY; i++)
        bmm__core_free(many[i]);
    sem_post(&owner->is_asleep);
    sem_wait(&owner->may_wake);
    return NULL;
}

PLAIN_TEST(an_owner_that_works_until_it_frees_all_and_sleeps_keeps_nothing)
{
    struct owner *owner = asleep(work_and_sleep, OWNER);
    bmm__purge_all();
    size_t kept = used_bytes() - used_before;
    wake(owner);
    PLAIN_CHECK_EQUAL(kept, 0);
}

/* Without anybody asking for it: others allocate now and then. */
PLAIN_TEST(what_a_sleeping_owner_freed_goes_back_while_others_work)
{
    struct owner *owner = asleep(sleep_and_go_on, OWNER);
    uint64_t end_ms = bmm__os_clock_coarse_ms() + 10000;
    while (used_bytes() > used_before + 4 * BMM__GRANULE && bmm__os_clock_coarse_ms() < end_ms)
        bmm__core_free(bmm__core_alloc(16, 16, false));
    bmm__heap_minimize(bmm__thread_heap());
    size_t after = used_bytes();
    wake(owner);
    PLAIN_CHECK(after <= used_before + 4 * BMM__GRANULE);
}

PLAIN_TEST(who_frees_and_allocates_in_turn_does_no_span_work)
{
    size_t opened = 0;
    for (size_t size = 16; size <= 32768; size *= 2) {
        void *blocks[8];
        for (int round = 0; round < 1000; round++) {
            size_t before = used_bytes();
            for (int i = 0; i < 8; i++)
                blocks[i] = bmm__core_alloc(size, 16, false);
            size_t during = used_bytes();
            opened += round != 0 && during != before;
            for (int i = 0; i < 8; i++)
                bmm__core_free(blocks[i]);
            opened += used_bytes() != during;
        }
    }
    PLAIN_CHECK_EQUAL(opened, 0);
}

/* ---- and when the owner wakes at the same moment ---- */

static void *free_it(void *block)
{
    PLAIN_CHECK(bmm__core_free(block));
    return NULL;
}

static void let_another_free(void *block)
{
    pthread_t other;
    PLAIN_CHECK(pthread_create(&other, NULL, free_it, block) == 0);
    pthread_join(other, NULL);
}

enum { COUNT = 3, BYTES = 20000 };

/* Blocks of a span that their owner, who is the caller, allocates from, and of which others have freed all. */
static struct bmm__span *freed_by_others(void *own[COUNT])
{
    rest();
    for (int i = 0; i < COUNT; i++)
        own[i] = bmm__core_alloc(BYTES, 16, false);
    struct bmm__span *span = bmm__page_map_find((uintptr_t)own[0]);
    PLAIN_CHECK(bmm__page_map_find((uintptr_t)own[COUNT - 1]) == span);
    PLAIN_CHECK_EQUAL(span->listed, BMM__LISTED_OPEN);
    for (int i = 0; i < COUNT; i++)
        let_another_free(own[i]);
    return span;
}

static uintptr_t owner_at(const void *address)
{
    struct bmm__list_place place;
    return bmm__page_map_look((uintptr_t)address, &place) ? bmm__list_at(place)->owner : 0;
}

/* Until one lies there, and then until its owner may wake. */
static void *allocate_there(void *context)
{
    struct owner *owner = context;
    for (int i = 0; i < BLOCKS; i++) {
        owner->blocks[i] = bmm__core_alloc(BYTES, 16, false);
        if (owner_at(owner->blocks[BLOCKS - 1]) != 0)
            break;
    }
    sem_post(&owner->is_asleep);
    sem_wait(&owner->may_wake);
    return NULL;
}

/* Its heap looks at all spans that it allocates from, of which others have one by now. */
PLAIN_TEST(an_owner_who_comes_by_leaves_the_memory_of_a_claimed_span_alone)
{
    static struct owner other;
    void *own[COUNT];
    struct bmm__heap *heap = bmm__thread_heap();
    struct bmm__span *span = freed_by_others(own);
    unsigned class_index = span->class_index;
    PLAIN_CHECK(span->is_shown && heap->bins[class_index].current == span);
    bmm__purge_all();
    PLAIN_CHECK_EQUAL(owner_at(own[0]), 0);
    sem_init(&other.is_asleep, 0, 0);
    sem_init(&other.may_wake, 0, 0);
    other.blocks[BLOCKS - 1] = own[0];
    PLAIN_CHECK(pthread_create(&thread, NULL, allocate_there, &other) == 0);
    sem_wait(&other.is_asleep);
    uintptr_t its_owner = owner_at(own[0]);
    PLAIN_CHECK(its_owner != 0 && its_owner != heap->token);
    bmm__remote_tell_spare(); /* so that the heap looks at the clock */
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    bmm__heap_look_now(heap);
    PLAIN_CHECK(heap->bins[class_index].current == NULL);
    PLAIN_CHECK_EQUAL(owner_at(own[0]), its_owner);
    wake(&other);
}

/* So who has decided on the old one cannot claim the span (P5, P7). */
PLAIN_TEST(an_owner_who_allocates_again_begins_a_new_epoch)
{
    void *own[COUNT];
    struct bmm__span *span = freed_by_others(own);
    uint64_t word = bmm__load_acquire(&span->remote);
    PLAIN_CHECK_EQUAL(BMM__REMOTE_COUNT(word), COUNT);
    PLAIN_CHECK_EQUAL(BMM__REMOTE_STATE(word), BMM__REMOTE_CURRENT);
    own[0] = bmm__core_alloc(BYTES, 16, false);
    PLAIN_CHECK(bmm__page_map_find((uintptr_t)own[0]) == span);
    PLAIN_CHECK(BMM__REMOTE_EPOCH(bmm__load_acquire(&span->remote)) != BMM__REMOTE_EPOCH(word));
    bmm__core_free(own[0]);
    check_valid();
}

enum { BATCH = 24, HANDOVERS = 40000, MAKERS = 2 };
static struct {
    size_t *blocks[BATCH];
} table[MAKERS]; /* that each maker hands over */
static sem_t is_made[MAKERS], is_freed[MAKERS];
static uint32_t is_over, wrong;

static size_t one_of(unsigned *seed)
{
    return sizes[(unsigned)rand_r(seed) % SIZE_COUNT];
}

/* All of a batch are of one size, so that others free all there is of a span that blocks are allocated from. */
static void *make(void *number)
{
    uintptr_t me = (uintptr_t)number;
    unsigned seed = (unsigned)me + 1;
    for (int n = 0; n < HANDOVERS; n++) {
        size_t size = one_of(&seed), count = 1 + (size_t)rand_r(&seed) % BATCH, own = (size_t)rand_r(&seed) % 3;
        for (size_t i = 0; i < BATCH; i++) {
            size_t *block = i < count ? bmm__core_alloc(size, 16, false) : NULL;
            if (block != NULL) {
                block[0] = (uintptr_t)block ^ size;
                block[1] = block[size / 8 - 1] = size;
            }
            if (block != NULL && own == 0 && i % 2 == 0) {
                bmm__core_free(block);
                block = NULL;
            }
            table[me].blocks[i] = block;
        }
        sem_post(&is_made[me]);
        sem_wait(&is_freed[me]);
    }
    return NULL;
}

static void *free_batches(void *number)
{
    uintptr_t me = (uintptr_t)number;
    size_t *blocks[BATCH];
    for (int n = 0; n < HANDOVERS; n++) {
        sem_wait(&is_made[me]);
        memcpy(blocks, table[me].blocks, sizeof blocks);
        for (int i = 0; i < BATCH; i++) {
            if (i == n % BATCH)
                sem_post(&is_freed[me]); /* it goes on before the rest is free */
            if (blocks[i] == NULL)
                continue;
            size_t size = blocks[i][1];
            if (blocks[i][0] != ((uintptr_t)blocks[i] ^ size) || blocks[i][size / 8 - 1] != size)
                bmm__add_relaxed(&wrong, 1);
            bmm__core_free(blocks[i]);
        }
    }
    return NULL;
}

static void *sweep(void *unused)
{
    while (bmm__load_acquire(&is_over) == 0)
        bmm__purge_all();
    return unused;
}

PLAIN_TEST(owners_and_sweeps_do_not_both_have_a_span)
{
    pthread_t makers[MAKERS], freers[MAKERS], sweeper;
    for (uintptr_t i = 0; i < MAKERS; i++) {
        sem_init(&is_made[i], 0, 0);
        sem_init(&is_freed[i], 0, 0);
        PLAIN_CHECK(pthread_create(&makers[i], NULL, make, (void *)i) == 0);         /* NOLINT */
        PLAIN_CHECK(pthread_create(&freers[i], NULL, free_batches, (void *)i) == 0); /* NOLINT */
    }
    PLAIN_CHECK(pthread_create(&sweeper, NULL, sweep, NULL) == 0);
    for (int i = 0; i < MAKERS; i++) {
        pthread_join(makers[i], NULL);
        pthread_join(freers[i], NULL);
    }
    bmm__store_release(&is_over, 1u);
    pthread_join(sweeper, NULL);
    PLAIN_CHECK_EQUAL(wrong, 0);
}
