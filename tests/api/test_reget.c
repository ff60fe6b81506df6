/* bmm_reget, alignment through every change of size, and giving back at wish. */
#define _GNU_SOURCE
#include "tests/facts.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define MIB ((size_t)1 << 20)

/* Starts to count the peak anew. */
static bool forget_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    bool is_done = file != NULL && fputs("5", file) >= 0;
    if (file != NULL)
        is_done = fclose(file) == 0 && is_done;
    return is_done;
}

PLAIN_TEST(what_fits_stays)
{
    unsigned char *p = bmm_malloc(1000);
    PLAIN_CHECK(facts_is_checked() || bmm_reget(p, 1000) == p);
    p = bmm_reget(p, 990);
    PLAIN_CHECK(p != NULL && bmm_usable_size(p) >= 990);
    bmm_free(p);
}

PLAIN_TEST(of_nothing_it_is_malloc_and_to_nothing_free)
{
    unsigned char *p = bmm_reget(NULL, 50);
    PLAIN_CHECK(p != NULL && bmm_usable_size(p) >= 50);
    PLAIN_CHECK(bmm_reget(p, 0) == NULL);
}

PLAIN_TEST(neighbours_are_left_alone)
{
    static const size_t sizes[] = { 10, 100, 5000, 40000, 3 * MIB, 70 * MIB };
    for (size_t from = 0; from < sizeof sizes / sizeof *sizes; from++)
        for (size_t to = 0; to < sizeof sizes / sizeof *sizes; to++) {
            unsigned char *before = bmm_malloc(sizes[from]), *p = bmm_malloc(sizes[from]),
                          *behind = bmm_malloc(sizes[from]);
            size_t looked = sizes[from] < 100000 ? sizes[from] : 100000;
            memset(before, 1, looked);
            memset(behind, 2, looked);
            p = bmm_reget(p, sizes[to]);
            PLAIN_CHECK(p != NULL && bmm_usable_size(p) >= sizes[to] && (uintptr_t)p % 16 == 0);
            memset(p, 3, sizes[to] < 100000 ? sizes[to] : 100000);
            PLAIN_CHECK(facts_is_all(before, looked, 1) && facts_is_all(behind, looked, 2));
            bmm_free(before), bmm_free(behind), bmm_free(p);
        }
}

PLAIN_TEST(an_impossible_size_changes_nothing)
{
    static const size_t sizes[] = { 10, 5000, 40000, 3 * MIB, 70 * MIB };
    static const size_t impossible[] = { SIZE_MAX, SIZE_MAX - 65536, (size_t)PTRDIFF_MAX + 1, (size_t)1 << 48 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = bmm_malloc(sizes[i]);
        memset(p, 7, sizes[i]);
        for (size_t k = 0; k < sizeof impossible / sizeof *impossible; k++) {
            volatile size_t size = impossible[k];
            errno = 0;
            PLAIN_CHECK(bmm_reget(p, size) == NULL && errno == ENOMEM);
        }
        PLAIN_CHECK(facts_is_all(p, sizes[i], 7));
        bmm_free(p);
    }
}

static int under_a_limit(void)
{
    static const size_t sizes[] = { 5000, 40000, 3 * MIB, 70 * MIB };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = bmm_malloc(sizes[i]);
        memset(p, 7, sizes[i]);
        size_t used = facts_status_bytes("VmSize");
        struct rlimit limit = { used + 20 * MIB, RLIM_INFINITY };
        struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
        setrlimit(RLIMIT_AS, &limit);
        errno = 0;
        void *moved = bmm_reget(p, 500 * MIB);
        int error = errno;
        setrlimit(RLIMIT_AS, &none);
        if (moved != NULL || error != ENOMEM || !facts_is_all(p, sizes[i], 7))
            return 1 + (int)i;
        bmm_free(p);
    }
    return 0;
}

PLAIN_TEST(under_a_limit_the_content_stays)
{
#ifdef BMM_EMULATED
    PLAIN_SKIP("the emulator's own memory counts");
#endif
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(under_a_limit());
    int status;
    PLAIN_CHECK(waitpid(child, &status, 0) == child);
    PLAIN_CHECK_EQUAL(status, 0);
}

/* Resident are never both. */
PLAIN_TEST(the_peak_is_that_of_the_longer_one)
{
    static const size_t sizes[][2] = { { 20 * MIB, 30 * MIB },  { 30 * MIB, 20 * MIB }, { 60 * MIB, 100 * MIB },
                                       { 100 * MIB, 60 * MIB }, { 24 * MIB, 50 * MIB }, { 50 * MIB, 24 * MIB } };
    if (facts_is_checked())
        PLAIN_SKIP("freed blocks are kept back");
#ifdef BMM_EMULATED
    PLAIN_SKIP("the emulator's own memory counts");
#endif
    if (!forget_peak() || facts_status_bytes("VmHWM") == 0)
        PLAIN_SKIP("the system does not tell the peak");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bmm_heap_minimize();
        size_t before_kib = facts_status_bytes("VmRSS") >> 10;
        forget_peak();
        unsigned char *p = bmm_malloc(sizes[i][0]), *behind = bmm_malloc(sizes[i][0]);
        memset(p, 1, sizes[i][0]);
        p = bmm_reget(p, sizes[i][1]);
        memset(p, 2, sizes[i][1]);
        size_t longer = sizes[i][0] > sizes[i][1] ? sizes[i][0] : sizes[i][1];
        PLAIN_CHECK((facts_status_bytes("VmHWM") >> 10) - before_kib < (longer >> 10) + 4096);
        bmm_free(p), bmm_free(behind);
    }
    /* The same of runs of pages: many, so that it is seen. */
    enum { COUNT = 64 };
    static unsigned char *runs[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        memset(runs[i] = bmm_malloc(400 << 10), 1, 400 << 10);
    bmm_heap_minimize();
    size_t before_kib = facts_status_bytes("VmRSS") >> 10;
    forget_peak();
    for (unsigned i = 0; i < COUNT; i++) {
        runs[i] = bmm_reget(runs[i], 600 << 10);
        memset(runs[i], 2, 600 << 10);
    }
    PLAIN_CHECK((facts_status_bytes("VmHWM") >> 10) - before_kib < COUNT * 200 + 4096);
    for (unsigned i = 0; i < COUNT; i++)
        bmm_free(runs[i]);
}

static double seconds_of(void *(*change)(void *, size_t), const size_t *sizes)
{
    struct timespec start, end;
    void *p = bmm_malloc(sizes[0]);
    memset(p, 1, sizes[0]);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    for (unsigned i = 1; i < 400; i++)
        p = change(p, sizes[i % 2]);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    bmm_free(p);
    return (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
}

PLAIN_TEST(blocks_that_move_are_had_for_less)
{
    static const size_t sizes[][2] = { { 5000, 20000 }, { 12000, 30000 }, { 10000, 70000 }, { 30000, 300000 } };
    if (facts_is_recorded())
        PLAIN_SKIP("blocks stay where they are, or memory is filled");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        double least[2] = { 1e9, 1e9 }; /* the ratio is 0.2 to 0.7 */
        for (unsigned round = 0; round < 15 || (round < 100 && least[1] >= 0.9 * least[0]); round++)
            for (unsigned k = 0; k < 2; k++) {
                double seconds = seconds_of(k == 0 ? bmm_realloc : bmm_reget, sizes[i]);
                least[k] = seconds < least[k] ? seconds : least[k];
            }
        printf("  %zu and %zu bytes: %.2f of realloc\n", sizes[i][0], sizes[i][1], least[1] / least[0]);
        PLAIN_CHECK(least[1] < 0.9 * least[0]);
    }
}

PLAIN_TEST(alignment_stays_whatever_the_block_becomes)
{
    static const size_t sizes[] = {
        1, 60, 3000, 30000, 33000, 500000, 3 * MIB, 40 * MIB, 70 * MIB, 90000, 33000, 100, 1
    };
    for (size_t align = 16; align <= 4 * MIB; align *= 2)
        for (unsigned keeps = 0; keeps < 2; keeps++) {
            unsigned char *p = bmm_malloc_aligned(align, sizes[0]);
            PLAIN_CHECK(p != NULL && (uintptr_t)p % align == 0);
            p[0] = 1;
            for (size_t i = 1; i < sizeof sizes / sizeof *sizes; i++) {
                p = keeps ? realloc(p, sizes[i]) : bmm_reget(p, sizes[i]);
                PLAIN_CHECK(p != NULL && (uintptr_t)p % align == 0);
                PLAIN_CHECK(!keeps || p[0] == i);
                p[0] = (unsigned char)(i + 1);
                p[sizes[i] - 1] = (unsigned char)(i + 1);
            }
            p = keeps ? realloc(p, 0) : bmm_reget(p, 0);
            PLAIN_CHECK(p == NULL);
        }
}

PLAIN_TEST(every_power_of_two_is_an_alignment)
{
#ifdef BMM_EMULATED
    const unsigned shift_max = 32; /* an emulator has tables of what is mapped */
#else
    const unsigned shift_max = 63;
#endif
    for (unsigned shift = 4; shift <= shift_max; shift++) {
        size_t align = (size_t)1 << shift;
        errno = 0;
        char *p = bmm_malloc_aligned(align, 100);
        if (shift <= 40)
            PLAIN_CHECK(p != NULL);
        PLAIN_CHECK(p != NULL ? (uintptr_t)p % align == 0 : errno == ENOMEM);
        if (p != NULL)
            p[0] = p[99] = 1;
        free(p);
    }
    static const size_t wrong[] = { 0, 1, 2, 8, 15, 17, 24, 48, 100, 4097, SIZE_MAX };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        errno = 0;
        PLAIN_CHECK(bmm_malloc_aligned(wrong[i], 100) == NULL && errno == EINVAL);
    }
}

/* ---- giving back ---- */

PLAIN_TEST(minimize_gives_back)
{
    enum { COUNT = 20000 };
    static void *blocks[COUNT];
    if (facts_is_checked())
        PLAIN_SKIP("freed blocks are kept back");
    for (unsigned i = 0; i < COUNT; i++)
        memset(blocks[i] = malloc(2000), 1, 2000);
    size_t before_kib = facts_status_bytes("VmRSS") >> 10;
    for (unsigned i = 0; i < COUNT; i++)
        free(blocks[i]);
    bool is_first = bmm_thread_heap_minimize(), is_second = bmm_thread_heap_minimize();
    PLAIN_CHECK(is_first && !is_second);
    PLAIN_CHECK((facts_status_bytes("VmRSS") >> 10) + 30000 < before_kib);
}

static void *shared_blocks[20000];
static unsigned char stage;

static void *free_and_go_on(void *unused)
{
    for (unsigned i = 0; i < 20000; i++)
        memset(shared_blocks[i] = malloc(2000), 1, 2000);
    for (unsigned i = 0; i < 20000; i++)
        if (i % 16 != 0) /* so that few spans are empty, but for the rest */
            free(shared_blocks[i]);
    for (unsigned i = 0; i < 20000; i += 16)
        free(shared_blocks[i]);
    __atomic_store_n(&stage, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) == 1)
        usleep(1000);
    for (unsigned i = 0; i < 10000; i++) { /* passes by */
        void *volatile p = malloc(100);
        free(p);
    }
    __atomic_store_n(&stage, 3, __ATOMIC_RELEASE);
    while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) == 3)
        usleep(1000);
    return unused;
}

static void wait_for(unsigned char value)
{
    while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) != value)
        usleep(1000);
}

PLAIN_TEST(all_heaps_are_minimized)
{
    if (facts_is_checked())
        PLAIN_SKIP("freed blocks are kept back");
    size_t start_kib = facts_status_bytes("VmRSS") >> 10;
    pthread_t thread;
    pthread_create(&thread, NULL, free_and_go_on, NULL);
    wait_for(1);
    bmm_heap_minimize();
    __atomic_store_n(&stage, 2, __ATOMIC_RELEASE);
    wait_for(3);
    bmm_heap_minimize(); /* what the other thread has emptied by now */
    size_t end_kib = facts_status_bytes("VmRSS") >> 10;
    __atomic_store_n(&stage, 4, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    PLAIN_CHECK(end_kib < start_kib + 8000);
}
