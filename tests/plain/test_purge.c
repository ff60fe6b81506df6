/* What is free goes back to the system: at once what is too much, the rest when it was left alone, all when asked. */
#define _GNU_SOURCE
#include "tests/plain.h"
#include "tests/plain/resident.h"

#include "core/arena.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/heap.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/process.h"
#include "core/purge.h"
#include "core/run_map.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static void wait_ms(long ms)
{
    struct timespec time = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&time, NULL);
}

/* Allocates, writes and frees that many bytes in blocks of size. */
static void use(size_t bytes, size_t size)
{
    size_t count = bytes / size;
    size_t table_bytes = (count * sizeof(char *) / BMM__GRANULE + 1) * BMM__GRANULE;
    char **blocks = bmm__os_map(table_bytes, BMM__GRANULE); /* not malloc: it has memory of its own to keep */
    for (size_t i = 0; i < count; i++) {
        blocks[i] = bmm__core_alloc(size, 16, false);
        memset(blocks[i], 1, size);
    }
    for (size_t i = 0; i < count; i++)
        bmm__core_free(blocks[i]);
    bmm__os_release(blocks, table_bytes);
}

static void touch_seldom(int times)
{
    for (int i = 0; i < times; i++) {
        wait_ms(12);
        bmm__core_free(bmm__core_alloc(64, 16, false));
    }
}

/* Whether each page has memory. */
static bool is_resident(void *start, size_t bytes)
{
    static unsigned char pages[4096];
    size_t count = bytes / bmm__os_page_bytes();
    if (count > sizeof pages || mincore(start, bytes, pages) != 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if ((pages[i] & 1) == 0)
            return false;
    return true;
}

/* Who locks his memory wants no page faults, unless he asks for it. */
PLAIN_TEST(what_is_locked_stays_until_all_is_to_go_back)
{
    enum { COUNT = 8 };
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    PLAIN_SKIP("sanitizers lock nothing");
#endif
#ifdef BMM_EMULATED
    PLAIN_SKIP("the emulator keeps what is locked, whatever it is asked");
#endif
    size_t bytes = BMM__GRANULE * 16;
    void *blocks[COUNT];
    bmm__purge_all();
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = bmm__core_alloc(bytes, BMM__GRANULE, false);
        PLAIN_CHECK(blocks[i] != NULL);
        memset(blocks[i], 1, bytes);
        if (i % 2 == 0 && mlock(blocks[i], bytes) != 0)
            PLAIN_SKIP("the system does not let us lock so much");
    }
    for (int i = 0; i < COUNT; i++)
        bmm__core_free(blocks[i]);
    touch_seldom(100);
    for (int i = 0; i < COUNT; i++)
        PLAIN_CHECK(is_resident(blocks[i], bytes) == (i % 2 == 0));
    bmm__purge_for_room();
    for (int i = 0; i < COUNT; i++)
        PLAIN_CHECK(is_resident(blocks[i], bytes) == (i % 2 == 0));
    bool is_known =
        madvise(blocks[0], bmm__os_page_bytes(), 24 /* MADV_DONTNEED_LOCKED */) == 0; /* from Linux 5.18 on */
    bmm__purge_all();
    PLAIN_CHECK(is_resident((char *)blocks[0] + bytes / 2, bytes / 2) != is_known);
    for (int i = 0; i < COUNT; i += 2)
        munlock(blocks[i], bytes);
}

static void check_follows_down(size_t size)
{
    bmm__purge_all();
    size_t before = resident();
    use(200 * MIB, size);
    PLAIN_CHECK(resident() <
                before + 100 * MIB); /* 64 are kept for a while; where the machine is slow, slices give less */
    PLAIN_CHECK(resident() > before + 5 * MIB); /* hysteresis: not all goes at once */
    touch_seldom(100);
    PLAIN_CHECK(resident() < before + 4 * MIB);
}

PLAIN_TEST(small_blocks_follow_the_program_down)
{
    check_follows_down(64);
}

PLAIN_TEST(page_runs_follow_the_program_down)
{
    check_follows_down(50000);
}

PLAIN_TEST(granule_runs_follow_the_program_down)
{
    check_follows_down(3 * MIB);
}

PLAIN_TEST(everything_goes_back_when_asked)
{
    size_t before = resident();
    use(30 * MIB, 64);
    PLAIN_CHECK(bmm__purge_all());
    PLAIN_CHECK(resident() < before + 2 * MIB);
    PLAIN_CHECK(bmm__load_relaxed(&bmm__dirty_bytes) == 0);
}

/* U2, where it is hardest: small pages, and a slice that is due at each call. */
PLAIN_TEST(no_call_spends_two_milliseconds_on_what_is_too_much)
{
    enum { COUNT = 50 };
    char *blocks[COUNT];
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    for (int i = 0; i < COUNT; i++)
        memset(blocks[i] = bmm__core_alloc(16 * MIB, 16, false), 1, 16 * MIB);
    unsigned slow = 0;
    for (int i = 0; i < COUNT; i++) {
        double start = thread_ms();
        bmm__core_free(blocks[i]);
        slow += thread_ms() - start >= 2;
        wait_ms(12);
    }
    prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
    PLAIN_CHECK(slow <= 2); /* what else the machine did */
}

/* A loop that never leaves the fast path passes by the clock, too. */
PLAIN_TEST(a_hot_loop_passes_by_the_clock)
{
    use(30 * MIB, 4000);
    size_t before = bmm__load_relaxed(&bmm__dirty_bytes);
    PLAIN_CHECK(before > 20 * MIB);
    uint64_t start = bmm__os_clock_coarse_ms();
    while (bmm__os_clock_coarse_ms() - start < 1200)
        for (int i = 0; i < 1000; i++)
            bmm__core_free(bmm__core_alloc(48, 16, false));
    PLAIN_CHECK(bmm__load_relaxed(&bmm__dirty_bytes) < MIB);
}

static char *shared_blocks[1 << 20];
#define SHARED_COUNT (sizeof shared_blocks / sizeof *shared_blocks)

static void *free_every_fourth(void *unused)
{
    for (size_t i = 0; i < SHARED_COUNT; i += 4)
        bmm__core_free(shared_blocks[i]);
    return unused;
}

/* Others' frees came first, and the owner's last one finds its own count not at zero. */
PLAIN_TEST(what_another_thread_and_then_the_owner_freed_goes_back)
{
    bmm__purge_all();
    for (size_t i = 0; i < SHARED_COUNT; i++) {
        shared_blocks[i] = bmm__core_alloc(64, 16, false);
        memset(shared_blocks[i], 1, 64);
    }
    pthread_t thread;
    PLAIN_CHECK(pthread_create(&thread, NULL, free_every_fourth, NULL) == 0);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < SHARED_COUNT; i++)
        if (i % 4 != 0)
            bmm__core_free(shared_blocks[i]);
    touch_seldom(100);
    PLAIN_CHECK(bmm__load_relaxed(&bmm__arena_used_bytes) < 8 * MIB);
}

/* A thread that frees what others allocated, and nothing else: it never opens or empties a span of its own. */
static void *free_all_then_seldom(void *unused)
{
    for (size_t i = 400; i < SHARED_COUNT && shared_blocks[i] != NULL; i++)
        bmm__core_free(shared_blocks[i]);
    for (size_t i = 0; i < 400; i += 4) {
        wait_ms(12);
        for (size_t k = i; k < i + 4; k++)
            bmm__core_free(shared_blocks[k]);
    }
    return unused;
}

static void check_thread_that_only_frees(size_t size)
{
    bmm__purge_all();
    for (size_t i = 0; i < SHARED_COUNT; i++)
        shared_blocks[i] = NULL;
    for (size_t i = 0; i < SHARED_COUNT && i < 60 * MIB / size; i++) {
        shared_blocks[i] = bmm__core_alloc(size, 16, false);
        memset(shared_blocks[i], 1, size);
    }
    pthread_t thread;
    PLAIN_CHECK(pthread_create(&thread, NULL, free_all_then_seldom, NULL) == 0);
    pthread_join(thread, NULL); /* and the owner slept */
    PLAIN_CHECK(bmm__load_relaxed(&bmm__dirty_bytes) < 2 * MIB);
    PLAIN_CHECK(bmm__load_relaxed(&bmm__arena_used_bytes) < 8 * MIB);
}

PLAIN_TEST(what_a_thread_that_only_frees_has_freed_goes_back)
{
    check_thread_that_only_frees(64);
    check_thread_that_only_frees(1500);
    check_thread_that_only_frees(8000);
}

/* Frees one block of each of a few spans, and when their owner has freed the rest goes on allocating, and frees nothing. */
#define FEW 6
#define STEP (SHARED_COUNT / FEW)
static sem_t has_freed, may_go_on;

static bool is_gone(const void *block)
{
    const struct bmm__span *span = bmm__page_map_find((uintptr_t)block);
    return span == NULL || span->list.slot_bytes != 64;
}

static void *free_few_and_allocate(void *gone_count)
{
    char *few[FEW];
    bmm__core_free(bmm__core_alloc(64, 16, false)); /* it has a heap */
    for (size_t i = 0; i < FEW; i++)
        bmm__core_free(few[i] = shared_blocks[i * STEP]);
    sem_post(&has_freed);
    sem_wait(&may_go_on);
    size_t kept = 0;
    for (int ms = 0; ms < 50; ms++) {
        wait_ms(1);
        for (int i = 0; i < 5000; i++)
            shared_blocks[kept++] = bmm__core_alloc(16, 16, false);
    }
    for (size_t i = 0; i < FEW; i++)
        *(int *)gone_count += is_gone(few[i]);
    for (size_t i = 0; i < kept; i++)
        bmm__core_free(shared_blocks[i]);
    return NULL;
}

PLAIN_TEST(a_thread_that_is_busy_keeps_nothing_of_others_back)
{
    int gone_count = 0;
    bmm__purge_all();
    sem_init(&has_freed, 0, 0);
    sem_init(&may_go_on, 0, 0);
    for (size_t i = 0; i < SHARED_COUNT; i++)
        shared_blocks[i] = bmm__core_alloc(64, 16, false);
    pthread_t thread;
    PLAIN_CHECK(pthread_create(&thread, NULL, free_few_and_allocate, &gone_count) == 0);
    sem_wait(&has_freed);
    for (size_t i = 0; i < SHARED_COUNT; i++)
        if (i % STEP != 0 || i >= FEW * STEP)
            bmm__core_free(shared_blocks[i]);
    bmm__heap_minimize(bmm__thread_heap());
    bmm__purge_all();
    bool is_pending = bmm__purge_is_pending();
    sem_post(&may_go_on);
    pthread_join(thread, NULL);
    PLAIN_CHECK(!is_pending);
    PLAIN_CHECK_EQUAL(gone_count, FEW);
}

/* Is watched, and then nothing waits to be given back any more: its frees must not be slow for ever. */
static void *free_some_while_nothing_waits(void *watch)
{
    bmm__core_free(bmm__core_alloc(500, 16, false)); /* it has a heap */
    bmm__heap->watch = 16;
    bmm__purge_all();
    bool is_pending = bmm__purge_is_pending();
    for (size_t i = 0; i < 40; i++)
        bmm__core_free(shared_blocks[i]);
    *(int *)watch = is_pending ? -2 : bmm__heap->watch;
    return NULL;
}

PLAIN_TEST(a_thread_is_watched_only_while_memory_waits_to_be_given_back)
{
    bmm__heap_minimize(bmm__heap);
    for (size_t i = 0; i < 40; i++)
        shared_blocks[i] = bmm__core_alloc(64, 16, false);
    int watch = -1;
    pthread_t thread;
    PLAIN_CHECK(pthread_create(&thread, NULL, free_some_while_nothing_waits, &watch) == 0);
    pthread_join(thread, NULL);
    PLAIN_CHECK_EQUAL(watch, 0);
}

/* Locked memory before Linux 5.18, and some sandboxes. */
static bool is_purging_refused;
static unsigned refused_count;

int madvise(void *start, size_t bytes, int advice)
{
    if (is_purging_refused && advice != MADV_HUGEPAGE && advice != MADV_NOHUGEPAGE) {
        refused_count++;
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, start, bytes, advice);
}

PLAIN_TEST(where_the_system_keeps_memory_freeing_stays_quick)
{
    enum { COUNT = 6000, BYTES = 50000 };
    static char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++)
        memset(blocks[i] = bmm__core_alloc(BYTES, 16, false), 1, BYTES);
    is_purging_refused = true;
    for (int i = 0; i < COUNT; i++)
        bmm__core_free(blocks[i]);
    is_purging_refused = false;
    printf("  %u\n", refused_count);
    PLAIN_CHECK(refused_count < 8 * COUNT); /* each free once looked at all that is kept */
    PLAIN_CHECK(bmm__load_relaxed(&bmm__dirty_bytes) > 200 * MIB);
    char *p = bmm__core_alloc(BYTES, 16, true);
    for (int i = 0; i < BYTES; i++)
        PLAIN_CHECK(p[i] == 0);
    bmm__core_free(p);
    bmm__purge_all();
    PLAIN_CHECK(bmm__load_relaxed(&bmm__dirty_bytes) == 0);
}
