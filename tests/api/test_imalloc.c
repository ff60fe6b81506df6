/* bmm_imalloc: what COM says of IMalloc, call by call. */
#define _GNU_SOURCE
#include "tests/facts.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What a program that was ported has. */
static const struct bmm_imalloc *m;

PLAIN_TEST(the_table_is_the_same_at_each_call)
{
    m = bmm_imalloc();
    PLAIN_CHECK(m != NULL && m == bmm_imalloc());
}

PLAIN_TEST(alloc)
{
    char *p = m->alloc(100), *none = m->alloc(0);
    PLAIN_CHECK(p != NULL && (uintptr_t)p % 16 == 0 && none != NULL && none != p);
    memset(p, 1, 100);
    m->free(p);
    m->free(none);
    PLAIN_CHECK(m->alloc(SIZE_MAX - 5) == NULL);
}

PLAIN_TEST(realloc_of_null_is_alloc)
{
    char *p = m->realloc(NULL, 100), *none = m->realloc(NULL, 0);
    PLAIN_CHECK(p != NULL && m->get_size(p) >= 100 && none != NULL);
    m->free(p);
    m->free(none);
}

PLAIN_TEST(realloc_to_nothing_is_free)
{
    char *p = m->alloc(100000);
    PLAIN_CHECK(m->realloc(p, 0) == NULL && m->did_alloc(p) == 0);
}

PLAIN_TEST(realloc_keeps_what_fits)
{
    char *p = m->alloc(10);
    strcpy(p, "contents");
    for (size_t size = 10; size < 50000000; size *= 3) {
        p = m->realloc(p, size);
        PLAIN_CHECK(p != NULL && strcmp(p, "contents") == 0 && m->get_size(p) >= size);
    }
    PLAIN_CHECK(m->realloc(p, SIZE_MAX - 5) == NULL && strcmp(p, "contents") == 0);
    p = m->realloc(p, 9);
    PLAIN_CHECK(strcmp(p, "contents") == 0);
    m->free(p);
}

PLAIN_TEST(free_of_null_does_nothing)
{
    m->free(NULL);
}

PLAIN_TEST(get_size)
{
    PLAIN_CHECK(m->get_size(NULL) == (size_t)-1);
    for (size_t size = 0; size < 5000000; size = size * 2 + 1) {
        void *p = m->alloc(size);
        PLAIN_CHECK(m->get_size(p) >= size && m->get_size(p) == bmm_usable_size(p));
        m->free(p);
    }
}

PLAIN_TEST(did_alloc_of_blocks)
{
    static const size_t sizes[] = { 0, 1, 16, 100, 5000, 32768, 32769, 300000, 3 << 20, 40 << 20 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *p = m->alloc(sizes[i]), *other = malloc(sizes[i]), *aligned = bmm_malloc_aligned(4096, sizes[i]);
        PLAIN_CHECK(m->did_alloc(p) == 1 && m->did_alloc(other) == 1 && m->did_alloc(aligned) == 1);
        PLAIN_CHECK(m->did_alloc(p + 1) == 0 && m->did_alloc(p - 1) == 0);
        if (sizes[i] > 16)
            PLAIN_CHECK(m->did_alloc(p + 16) == 0 && m->did_alloc(p + sizes[i] - 1) == 0);
        m->free(p);
        m->free(other);
        m->free(aligned);
        PLAIN_CHECK(m->did_alloc(p) == 0);
    }
}

PLAIN_TEST(did_alloc_of_what_is_no_block)
{
    static char global[16];
    char local[16];
    void *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    PLAIN_CHECK_EQUAL(m->did_alloc(NULL), -1);
    PLAIN_CHECK_EQUAL(m->did_alloc(global), 0);
    PLAIN_CHECK_EQUAL(m->did_alloc(local), 0);
    PLAIN_CHECK_EQUAL(m->did_alloc("a constant"), 0);
    PLAIN_CHECK_EQUAL(m->did_alloc(m), 0);
    PLAIN_CHECK_EQUAL(m->did_alloc(closed), 0);
    munmap(closed, 4096);
    for (int bit = 0; bit < 64; bit++) {
        PLAIN_CHECK_EQUAL(m->did_alloc((void *)((uintptr_t)1 << bit)), 0);
        PLAIN_CHECK_EQUAL(m->did_alloc((void *)-((uintptr_t)1 << bit)), 0);
    }
}

PLAIN_TEST(did_alloc_of_a_piece_of_code)
{
    struct bmm_jit_heap *heap = bmm_jit_create(0);
    void *piece = bmm_jit_get(heap, 100);
    if (piece == NULL)
        PLAIN_SKIP("the system lets nobody have code of his own");
    PLAIN_CHECK_EQUAL(m->did_alloc(piece), 0);
    bmm_jit_destroy(heap);
}

static void *alloc_in_thread(void *unused)
{
    (void)unused;
    return m->alloc(100);
}

PLAIN_TEST(blocks_of_another_thread)
{
    pthread_t thread;
    void *p = NULL;
    pthread_create(&thread, NULL, alloc_in_thread, NULL);
    pthread_join(thread, &p);
    PLAIN_CHECK(m->did_alloc(p) == 1 && m->get_size(p) >= 100);
    m->free(p);
}

PLAIN_TEST(heap_minimize_gives_memory_back)
{
    enum { COUNT = 100, BYTES = 1 << 20 };
    static char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++)
        memset(blocks[i] = m->alloc(BYTES), 1, BYTES);
    size_t full = facts_resident_bytes();
    for (int i = 0; i < COUNT; i++)
        m->free(blocks[i]);
    m->heap_minimize();
    size_t left = facts_resident_bytes();
    const char *options = getenv("BRAINMM_OPTIONS");
    if (options != NULL && strstr(options, "check") != NULL)
        PLAIN_SKIP("the quarantine holds blocks back");
    PLAIN_CHECK(left + (size_t)(COUNT / 2) * BYTES < full);
}

/* Blocks of all sizes come, change and go; each holds what was written in it. */
static void *use(void *number)
{
    enum { COUNT = 64, STEPS = 20000 };
    const struct bmm_imalloc *table = bmm_imalloc();
    uintptr_t random = (uintptr_t)number, wrong = 0;
    unsigned char *blocks[COUNT] = { NULL };
    size_t sizes[COUNT] = { 0 };
    for (unsigned step = 0; step < STEPS; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned k = (unsigned)(random >> 58);
        size_t size = 1 + (random >> 30) % (step % 100 == 0 ? 100000 : 600);
        size_t kept = sizes[k] < size ? sizes[k] : size;
        wrong += blocks[k] != NULL && (table->did_alloc(blocks[k]) != 1 || table->get_size(blocks[k]) < sizes[k]);
        if (random >> 29 & 1) {
            blocks[k] = table->realloc(blocks[k], size);
            wrong += blocks[k] == NULL || !facts_is_all(blocks[k], kept, (int)k);
        } else {
            table->free(blocks[k]);
            blocks[k] = table->alloc(size);
            wrong += blocks[k] == NULL;
        }
        if (wrong != 0)
            break;
        memset(blocks[k], (int)k, sizes[k] = size);
        if (step % 5000 == 0)
            table->heap_minimize();
    }
    for (unsigned k = 0; k < COUNT; k++)
        table->free(blocks[k]);
    return (void *)wrong; /* NOLINT */
}

static void use_by(unsigned thread_count)
{
    PLAIN_CHECK_EQUAL(facts_wrong_by(thread_count, use), 0);
}

PLAIN_TEST_BY_THREADS(use_by)
