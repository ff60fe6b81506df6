/* Heaps that the program makes: blocks as any others, and the end of all at once. */
#define _GNU_SOURCE
#include "tests/facts.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const size_t sizes[] = { 0, 1, 16, 100, 1000, 5000, 32768, 32769, 100000, 2 << 20, 40 << 20 };
#define SIZES (sizeof sizes / sizeof *sizes)

static size_t looked_at(size_t size)
{
    return size < 200000 ? size : 200000;
}

static size_t live_blocks(void)
{
    static struct bmm_stats stats;
    size_t count = 0;
    bmm_stats(&stats);
    for (unsigned kind = BMM_MEMORY_SMALL; kind <= BMM_MEMORY_KIND_LAST; kind++)
        count += stats.kinds[kind].live_count;
    return count;
}

PLAIN_TEST(blocks_of_every_size)
{
    struct bmm_heap *heap = bmm_heap_create();
    PLAIN_CHECK(heap != NULL);
    unsigned char *blocks[SIZES];
    for (size_t i = 0; i < SIZES; i++) {
        blocks[i] = bmm_heap_malloc(heap, sizes[i]);
        PLAIN_CHECK(blocks[i] != NULL && (uintptr_t)blocks[i] % 16 == 0 && bmm_usable_size(blocks[i]) >= sizes[i]);
        memset(blocks[i], (int)i + 1, looked_at(sizes[i]));
        PLAIN_CHECK(bmm_heap_owns(heap, blocks[i]));
    }
    for (size_t i = 0; i < SIZES; i++) {
        PLAIN_CHECK(facts_is_all(blocks[i], looked_at(sizes[i]), (int)i + 1));
        free(blocks[i]);
        PLAIN_CHECK(!bmm_heap_owns(heap, blocks[i]));
    }
    bmm_heap_destroy(heap);
}

PLAIN_TEST(zeroed_and_aligned_blocks)
{
    struct bmm_heap *heap = bmm_heap_create();
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < SIZES; i++) {
            unsigned char *p = bmm_heap_calloc(heap, 1, sizes[i]);
            PLAIN_CHECK(facts_is_all(p, looked_at(sizes[i]), 0));
            memset(p, 0xee, looked_at(sizes[i]));
        }
        for (size_t align = 16; align <= 1 << 20; align *= 2) {
            unsigned char *p = bmm_heap_malloc_aligned(heap, align, 100);
            PLAIN_CHECK(p != NULL && (uintptr_t)p % align == 0);
            memset(p, 0xee, 100);
            p = realloc(p, 60000);
            PLAIN_CHECK(p != NULL && (uintptr_t)p % align == 0 && facts_is_all(p, 100, 0xee) && bmm_heap_owns(heap, p));
        }
        bmm_heap_clear(heap);
    }
    bmm_heap_destroy(heap);
}

PLAIN_TEST(what_cannot_be_is_refused)
{
    struct bmm_heap *heap = bmm_heap_create();
    static const size_t impossible[] = { SIZE_MAX, SIZE_MAX - 65536, (size_t)PTRDIFF_MAX + 1 };
    for (size_t i = 0; i < 3; i++) {
        volatile size_t size = impossible[i];
        errno = 0;
        PLAIN_CHECK(bmm_heap_malloc(heap, size) == NULL && errno == ENOMEM);
    }
    errno = 0;
    PLAIN_CHECK(bmm_heap_calloc(heap, SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
    static const size_t wrong[] = { 0, 1, 8, 17, 48 };
    for (size_t i = 0; i < 5; i++) {
        errno = 0;
        PLAIN_CHECK(bmm_heap_malloc_aligned(heap, wrong[i], 10) == NULL && errno == EINVAL);
    }
    bmm_heap_destroy(heap);
    bmm_heap_destroy(NULL);
}

PLAIN_TEST(heaps_are_told_apart)
{
    struct bmm_heap *a = bmm_heap_create(), *b = bmm_heap_create();
    char *p = bmm_heap_malloc(a, 100), *q = bmm_heap_malloc(b, 100), *r = malloc(100), on_stack;
    PLAIN_CHECK(bmm_heap_owns(a, p) && bmm_heap_owns(a, p + 50) && bmm_heap_owns(b, q));
    PLAIN_CHECK(!bmm_heap_owns(b, p) && !bmm_heap_owns(a, q) && !bmm_heap_owns(a, r));
    PLAIN_CHECK(!bmm_heap_owns(a, NULL) && !bmm_heap_owns(a, &on_stack) && !bmm_heap_owns(a, (void *)12345));
    free(r);
    bmm_heap_destroy(a);
    PLAIN_CHECK(bmm_heap_owns(b, q));
    bmm_heap_destroy(b);
}

PLAIN_TEST(resized_blocks_stay_in_their_heap)
{
    struct bmm_heap *heap = bmm_heap_create();
    for (unsigned keeps = 0; keeps < 2; keeps++) {
        unsigned char *p = bmm_heap_malloc(heap, 1);
        *p = 0;
        for (size_t i = 1; i < SIZES; i++) {
            p = keeps ? realloc(p, sizes[i]) : bmm_reget(p, sizes[i]);
            PLAIN_CHECK(p != NULL && bmm_heap_owns(heap, p));
            PLAIN_CHECK(!keeps || p[0] == i - 1);
            p[0] = p[sizes[i] - 1] = (unsigned char)i;
        }
        for (size_t i = SIZES - 1; i-- > 1;) {
            p = keeps ? realloc(p, sizes[i]) : bmm_reget(p, sizes[i]);
            PLAIN_CHECK(p != NULL && bmm_heap_owns(heap, p));
        }
    }
    bmm_heap_destroy(heap);
}

PLAIN_TEST(clear_frees_all)
{
    struct bmm_heap *heap = bmm_heap_create();
    void *kept = malloc(77);
    size_t before = live_blocks();
    for (unsigned round = 0; round < 20; round++) {
        void *some[1000];
        for (unsigned i = 0; i < 20000; i++)
            some[i % 1000] = memset(bmm_heap_malloc(heap, 1 + i * 37 % 700), 1, 1);
        for (unsigned i = 0; i < SIZES; i++)
            PLAIN_CHECK(bmm_heap_malloc(heap, sizes[i]) != NULL);
        for (unsigned i = 0; i < 1000; i += 3)
            free(some[i]);
        PLAIN_CHECK(live_blocks() >= before + 19000);
        bmm_heap_clear(heap);
        PLAIN_CHECK(!bmm_heap_owns(heap, some[1]));
        if (!facts_is_checked())
            PLAIN_CHECK_EQUAL(live_blocks(), before);
    }
    bmm_heap_destroy(heap);
    free(kept);
}

PLAIN_TEST(clear_frees_what_stands_beside_freed_blocks)
{
    enum { COUNT = 40 };
    struct bmm_heap *heap = bmm_heap_create();
    void *freed[COUNT], *left[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        left[i] = bmm_heap_malloc(heap, 200000);
        freed[i] = bmm_heap_malloc(heap, 200000);
    }
    for (unsigned i = 0; i < COUNT; i++)
        free(freed[i]); /* under the debugger some are kept back, and go while the heap is cleared */
    bmm_heap_clear(heap);
    for (unsigned i = 0; i < COUNT; i++)
        PLAIN_CHECK(!bmm_heap_owns(heap, left[i]));
    bmm_heap_destroy(heap);
}

PLAIN_TEST(many_heaps_come_and_go)
{
    size_t before = live_blocks();
    for (unsigned round = 0; round < 300; round++) {
        struct bmm_heap *heaps[10];
        for (unsigned i = 0; i < 10; i++) {
            heaps[i] = bmm_heap_create();
            for (unsigned k = 0; k < 50; k++)
                PLAIN_CHECK(bmm_heap_malloc(heaps[i], k * 100) != NULL);
        }
        for (unsigned i = 0; i < 10; i++)
            bmm_heap_destroy(heaps[(i * 7 + round) % 10]);
    }
    if (!facts_is_checked())
        PLAIN_CHECK_EQUAL(live_blocks(), before);
}

struct shared {
    struct bmm_heap *heap;
    unsigned seed;
    unsigned long wrong;
};

static void *use(void *argument)
{
    struct shared *shared = argument;
    uint64_t random = shared->seed;
    unsigned char *blocks[64] = { NULL };
    size_t bytes[64] = { 0 };
    for (unsigned i = 0; i < 20000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned k = (unsigned)(random >> 40) % 64;
        if (blocks[k] != NULL && (blocks[k][0] != k || blocks[k][bytes[k] - 1] != k))
            shared->wrong++;
        size_t size = 1 + (random >> 45) % (i % 200 == 0 ? 200000 : 2000);
        if (random >> 33 & 1) {
            free(blocks[k]);
            blocks[k] = bmm_heap_malloc(shared->heap, size);
        } else if (blocks[k] != NULL) {
            blocks[k] = realloc(blocks[k], size);
        } else {
            blocks[k] = bmm_heap_calloc(shared->heap, 1, size);
        }
        if (blocks[k] == NULL) {
            shared->wrong++;
            continue;
        }
        bytes[k] = size;
        blocks[k][0] = blocks[k][size - 1] = (unsigned char)k;
    }
    for (unsigned k = 0; k < 64; k += 2) /* the others are left for the end of all */
        free(blocks[k]);
    return NULL;
}

static void use_by(unsigned thread_count)
{
    size_t before = live_blocks();
    struct bmm_heap *heap = bmm_heap_create();
    for (unsigned round = 0; round < 3; round++) {
        pthread_t threads[16];
        struct shared shared[16];
        for (unsigned i = 0; i < thread_count; i++) {
            shared[i] = (struct shared){ heap, i + 1, 0 };
            pthread_create(&threads[i], NULL, use, &shared[i]);
        }
        for (unsigned i = 0; i < thread_count; i++) {
            pthread_join(threads[i], NULL);
            PLAIN_CHECK_EQUAL(shared[i].wrong, 0);
        }
        bmm_heap_clear(heap);
    }
    bmm_heap_destroy(heap);
    if (!facts_is_checked())
        PLAIN_CHECK(live_blocks() < before + 2 * thread_count + 8); /* stacks of threads and the like */
}

PLAIN_TEST_BY_THREADS(use_by)

PLAIN_TEST(a_forked_child_goes_on)
{
    struct bmm_heap *heap = bmm_heap_create();
    unsigned char *p = memset(bmm_heap_malloc(heap, 1000), 9, 1000);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        bool is_right = facts_is_all(p, 1000, 9) && bmm_heap_owns(heap, p);
        for (unsigned i = 0; i < 1000; i++)
            is_right = is_right && bmm_heap_malloc(heap, i) != NULL;
        free(p);
        bmm_heap_destroy(heap);
        void *after = malloc(100);
        _exit(is_right && after != NULL ? 0 : 1);
    }
    int status;
    PLAIN_CHECK(waitpid(child, &status, 0) == child && status == 0);
    PLAIN_CHECK(facts_is_all(p, 1000, 9) && bmm_heap_owns(heap, p));
    bmm_heap_destroy(heap);
}

static unsigned char is_over;

static void *make_heaps(void *unused)
{
    struct bmm_heap *heaps[40];
    while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
        for (unsigned i = 0; i < 40; i++)
            memset(bmm_heap_malloc(heaps[i] = bmm_heap_create(), 100), 1, 100);
        for (unsigned i = 0; i < 40; i++)
            bmm_heap_destroy(heaps[i]);
    }
    return unused;
}

PLAIN_TEST(children_that_come_while_heaps_are_made_make_heaps)
{
    pthread_t threads[2];
    struct bmm_heap *heap = bmm_heap_create();
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, make_heaps, NULL);
    bool is_right = true;
    fflush(NULL);
    for (unsigned round = 0; round < 100 && is_right; round++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(30);
            char *p = bmm_heap_malloc(heap, 100), *q = NULL;
            for (unsigned i = 0; i < 100; i++)
                q = bmm_heap_malloc(bmm_heap_create(), 100);
            bmm_heap_destroy(heap);
            _exit(p != NULL && q != NULL ? 0 : 1);
        }
        int status;
        is_right = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    PLAIN_CHECK(is_right);
    bmm_heap_destroy(heap);
}

/* A heap's own memory, and the page of the block that is written. */
PLAIN_TEST(many_heaps_cost_little_and_nothing_in_the_end)
{
    enum { COUNT = 15000 };
    static struct bmm_heap *heaps[COUNT];
    size_t before = facts_resident_bytes();
    for (unsigned i = 0; i < COUNT; i++) {
        PLAIN_CHECK((heaps[i] = bmm_heap_create()) != NULL);
        void *p = bmm_heap_malloc(heaps[i], 100);
        PLAIN_CHECK(p != NULL && bmm_heap_owns(heaps[i], memset(p, 1, 100)));
    }
    size_t during = facts_resident_bytes();
    for (unsigned i = 0; i < COUNT; i++)
        bmm_heap_destroy(heaps[i]);
    bmm_heap_minimize();
    size_t after = facts_resident_bytes();
    if (facts_is_recorded())
        PLAIN_SKIP("the debugger has records of each");
#ifdef BMM_EMULATED
    PLAIN_SKIP("the emulator's own memory counts");
#endif
    PLAIN_CHECK(during < before + (size_t)COUNT * 16000);
    PLAIN_CHECK(after < before + (size_t)COUNT * 1000);
}
