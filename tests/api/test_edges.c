/* Where sizes, limits and locked memory meet: what once went wrong there, or nearly did. */
#define _GNU_SOURCE
#include "tests/facts.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Rounded up, such sizes come around to zero. */
PLAIN_TEST(realloc_to_an_impossible_size_changes_nothing)
{
    static const size_t sizes[] = { 100, 5000, 50000, 4 << 20, 40 << 20 };
    static const size_t impossible[] = { SIZE_MAX, SIZE_MAX - 10, SIZE_MAX - 65536, (size_t)PTRDIFF_MAX + 1 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = malloc(sizes[i]), *neighbour = malloc(sizes[i]);
        memset(p, 1, sizes[i]);
        memset(neighbour, 2, sizes[i]);
        for (size_t k = 0; k < sizeof impossible / sizeof *impossible; k++) {
            volatile size_t size = impossible[k];
            errno = 0;
            PLAIN_CHECK(realloc(p, size) == NULL && errno == ENOMEM);
        }
        PLAIN_CHECK(facts_is_all(p, sizes[i], 1) && facts_is_all(neighbour, sizes[i], 2));
        free(p);
        free(neighbour);
    }
}

PLAIN_TEST(an_impossible_alignment_is_refused)
{
    volatile size_t align = SIZE_MAX - 5;
    errno = 0;
    PLAIN_CHECK(memalign(align, 10) == NULL && errno != 0);
}

/* The system keeps what is locked, so it does not read as zero when it was given back. */
PLAIN_TEST(calloc_is_zero_where_memory_was_locked)
{
    enum { COUNT = 100, BYTES = 100000 };
    static unsigned char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = malloc(BYTES);
        memset(blocks[i], 0x5a, BYTES);
        if (mlock(blocks[i], BYTES) != 0)
            PLAIN_SKIP("the system does not let us lock so much");
    }
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    malloc_trim(0);
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = calloc(1, BYTES);
        PLAIN_CHECK(facts_is_all(blocks[i], BYTES, 0));
    }
    for (int i = 0; i < COUNT; i++) {
        munlock(blocks[i], BYTES);
        free(blocks[i]);
    }
}

/* What memory is given back under another thread's allocations must not be taken for memory that was never used. */
static void *trim(void *stop)
{
    while (!__atomic_load_n((bool *)stop, __ATOMIC_RELAXED))
        malloc_trim(0);
    return NULL;
}

PLAIN_TEST(calloc_is_zero_while_memory_goes_back)
{
    bool stop = false, is_zero = true;
    pthread_t thread;
    pthread_create(&thread, NULL, trim, &stop);
    for (int i = 0; i < 2000; i++) {
        unsigned char *p = calloc(1, 100000);
        is_zero = is_zero && facts_is_all(p, 100000, 0);
        memset(p, 0x5a, 100000);
        free(p);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    PLAIN_CHECK(is_zero);
}

PLAIN_TEST(a_large_block_that_shrinks_gives_memory_back)
{
    enum { MIB = 1 << 20 };
    unsigned char *p = malloc((size_t)200 * MIB);
    memset(p, 7, (size_t)200 * MIB);
    size_t full = facts_resident_bytes();
    p = realloc(p, 40 * MIB);
    PLAIN_CHECK(facts_resident_bytes() + 100 * (size_t)MIB < full && facts_is_all(p, 40 * MIB, 7));
    p = realloc(p, (size_t)100 * MIB);
    PLAIN_CHECK(facts_is_all(p, 40 * MIB, 7));
    free(p);
}

/* Nobody touches it, but which addresses are whose has to be known. */
PLAIN_TEST(a_huge_block_leaves_nothing_when_it_is_gone)
{
#ifdef BMM_EMULATED
    PLAIN_SKIP("the emulator's own memory counts");
#endif
    size_t before = facts_resident_bytes();
    char *p = malloc((size_t)1 << 38);
    if (p == NULL)
        PLAIN_SKIP("the system has no such piece of address space");
    p[0] = p[(size_t)1 << 37] = 1;
    PLAIN_CHECK(facts_resident_bytes() < before + ((size_t)40 << 20));
    free(p);
    PLAIN_CHECK(facts_resident_bytes() < before + ((size_t)4 << 20));
}

/* Of which 512 times as much is less than there are addresses. */
static uint64_t memory_of_small_machine(void)
{
#ifdef BMM_EMULATED
    PLAIN_SKIP("the emulator has tables of what is mapped");
#endif
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    if (memory >> 37 != 0)
        PLAIN_SKIP("the machine has memory enough for that");
    return memory;
}

PLAIN_TEST(a_block_that_would_need_much_for_its_addresses_is_refused)
{
    memory_of_small_machine();
    errno = 0;
    PLAIN_CHECK(malloc((size_t)1 << 46) == NULL && errno == ENOMEM);
}

/* How many blocks of a hundred times the machine's memory there can be. */
static int count_huge(uint64_t memory)
{
    enum { BLOCKS_MAX = 8 };
    void *blocks[BLOCKS_MAX];
    int count = 0, result;
    while (count < BLOCKS_MAX && (blocks[count] = malloc((size_t)memory * 100)) != NULL)
        count++;
    result = count;
    while (count > 0)
        free(blocks[--count]);
    return result;
}

/* What is refused is the sum; and when all that is gone there is room again. In a child: the addresses of the tables stay taken. */
PLAIN_TEST(many_huge_blocks_are_refused_together)
{
    uint64_t memory = memory_of_small_machine();
    pid_t child = fork();
    if (child == 0)
        _exit(count_huge(memory) * 10 + count_huge(memory));
    int status = 0;
    waitpid(child, &status, 0);
    PLAIN_CHECK_EQUAL(WEXITSTATUS(status), 55);
}

/* A few at a time, and then nothing for a while: each time the last ones are no longer seldom. */
PLAIN_TEST(memory_goes_back_to_a_program_that_works_in_bursts)
{
    enum { COUNT = 10000, BYTES = 5000, KEPT = 30 << 20 };
    static unsigned char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++)
        memset(blocks[i] = malloc(BYTES), 1, BYTES);
    size_t full = facts_resident_bytes();
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    for (int i = 0; i < 40; i++) {
        usleep(30000);
        for (int k = 0; k < 5; k++)
            free(malloc(100));
    }
    PLAIN_CHECK(facts_resident_bytes() + KEPT < full);
}

/* What is copied is there twice for a while. */
PLAIN_TEST(a_large_block_grows_without_being_copied)
{
    size_t bytes = ((size_t)200 << 20) + 100000;
    unsigned char *p = malloc(bytes);
    memset(p, 7, bytes);
    size_t resident = facts_resident_bytes(), before = facts_status_bytes("VmHWM");
    for (size_t more = bytes + bytes / 2; more < (size_t)1 << 30; more += more / 2) {
        p = realloc(p, more);
        PLAIN_CHECK(facts_is_all(p, bytes, 7));
    }
    size_t most = facts_status_bytes("VmHWM");
    free(p);
    PLAIN_CHECK(most < (before > resident ? before : resident) + bytes / 2);
}

/* In a child: address space that growth leaves behind would soon be all that it may have. */
static int grow_under_limit(void)
{
    rlim_t bytes = (rlim_t)facts_status_bytes("VmSize") + ((rlim_t)1 << 30);
    setrlimit(RLIMIT_AS, &(struct rlimit){ bytes, bytes });
    for (int i = 0; i < 300; i++) {
        unsigned char *p = malloc((size_t)41 << 20);
        if (p == NULL)
            return 1;
        p[0] = 7;
        p = realloc(p, (size_t)80 << 20);
        if (p == NULL || p[0] != 7)
            return 2;
        free(p);
    }
    return 0;
}

PLAIN_TEST(growth_leaves_no_address_space_behind)
{
    pid_t child = fork();
    if (child == 0)
        _exit(grow_under_limit());
    int status = 0;
    waitpid(child, &status, 0);
    PLAIN_CHECK_EQUAL(status, 0);
}

/* Many threads, each with blocks of many sizes, which have a span each. */
static sem_t allocated, may_end;
static unsigned failed_count;

static void *allocate_many_sizes(void *unused)
{
    for (size_t i = 0; i < 120; i++) {
        char *p = malloc(16 + 48 * i);
        if (p == NULL)
            __atomic_add_fetch(&failed_count, 1, __ATOMIC_RELAXED);
        else
            *(volatile char *)p = 1;
    }
    sem_post(&allocated);
    sem_wait(&may_end);
    return unused;
}

static int threads_under_limit(void)
{
    enum { COUNT = 50 };
    pthread_t threads[COUNT];
    pthread_attr_t attributes;
    sem_init(&allocated, 0, 0);
    sem_init(&may_end, 0, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)256 << 10);
    for (int i = 0; i < COUNT; i++)
        if (pthread_create(&threads[i], &attributes, allocate_many_sizes, NULL) != 0)
            return 1;
    for (int i = 0; i < COUNT; i++)
        sem_wait(&allocated);
    return failed_count == 0 ? 0 : 2;
}

/* The program again, which has the limit from the start. */
#define UNDER_LIMIT "BMM_TEST_UNDER_LIMIT"
static __attribute__((constructor)) void run_under_limit(void)
{
    if (getenv(UNDER_LIMIT) != NULL)
        _exit(threads_under_limit());
}

PLAIN_TEST(threads_find_memory_where_address_space_is_short)
{
    if (facts_is_recorded())
        PLAIN_SKIP("the debugger's records need more");
#ifdef BMM_EMULATED
    PLAIN_SKIP("the emulator's own address space counts");
#endif
    /* Often, for it happens to some: what one thread has just mapped another could not, and must find. */
    rlim_t bytes = (rlim_t)280 << 20;
    int status = 0;
    for (int i = 0; i < 10 && status == 0; i++) {
        pid_t child = fork();
        if (child == 0) {
            setrlimit(RLIMIT_AS, &(struct rlimit){ bytes, bytes });
            setenv(UNDER_LIMIT, "1", 1);
            execl("/proc/self/exe", "test_edges", (char *)NULL);
            _exit(3);
        }
        waitpid(child, &status, 0);
    }
    PLAIN_CHECK_EQUAL(status, 0);
}

static void *idle(void *unused)
{
    return unused;
}

/* In a child: whether everything goes on that a program of a few megabytes may do. */
static int live_under_limit(rlim_t bytes)
{
    setrlimit(RLIMIT_AS, &(struct rlimit){ bytes, bytes });
    unsigned char *blocks[6];
    size_t size = 1200000;
    for (int i = 0; i < 6; i++)
        memset(blocks[i] = malloc(size), 'a' + i, size);
    for (size_t grown; (grown = size + size / 4) < 20u << 20; size = grown)
        for (int i = 0; i < 6; i++) {
            unsigned char *moved = realloc(blocks[i], grown);
            if (moved == NULL)
                return 1;
            blocks[i] = moved;
            if (!facts_is_all(moved, size, 'a' + i))
                return 2;
            memset(moved + size, 'a' + i, grown - size);
        }
    pthread_t thread;
    void *small = malloc(100), *large = malloc((size_t)40 << 20);
    return small == NULL || large == NULL ? 3 : pthread_create(&thread, NULL, idle, NULL) != 0 ? 4 : 0;
}

/* Python's resource module, batch systems: the process was there first, and then the limit. */
PLAIN_TEST(a_limit_that_the_program_sets_itself_leaves_it_room)
{
    free(malloc(2 << 20));
    for (rlim_t bytes = (rlim_t)512 << 20; bytes <= (rlim_t)8 << 30; bytes *= 2) {
        pid_t child = fork();
        if (child == 0)
            _exit(live_under_limit(bytes));
        int status = 0;
        waitpid(child, &status, 0);
        PLAIN_CHECK_EQUAL(status, 0);
    }
}
