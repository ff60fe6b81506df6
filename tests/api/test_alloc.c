/* What every allocation call promises, whichever library answers. */
#include "tests/plain.h"

#include "brainmm/brainmm.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool is_aligned(const void *p, size_t align)
{
    return ((uintptr_t)p & (align - 1)) == 0;
}

PLAIN_TEST(every_size_is_aligned_and_usable)
{
    for (size_t size = 0; size < 5000000; size += size / 7 + 1) {
        char *p = malloc(size);
        PLAIN_CHECK(p != NULL && is_aligned(p, 16) && malloc_usable_size(p) >= size);
        memset(p, 1, size);
        free(p);
    }
}

PLAIN_TEST(calloc_is_zero_after_use)
{
    for (int round = 0; round < 2; round++)
        for (size_t size = 1; size < 3000000; size += size / 3 + 1) {
            char *p = calloc(1, size);
            for (size_t i = 0; i < size; i++)
                PLAIN_CHECK(p[i] == 0);
            memset(p, 0xff, size);
            free(p);
        }
}

PLAIN_TEST(alignment_is_kept)
{
    for (size_t align = 16; align <= 1 << 21; align *= 2)
        for (size_t size = 1; size < 200000; size = size * 5 + 3) {
            void *p = NULL;
            PLAIN_CHECK(posix_memalign(&p, align, size) == 0 && is_aligned(p, align));
            memset(p, 2, size);
            free(p);
            p = bmm_malloc_aligned(align, size);
            PLAIN_CHECK(p != NULL && is_aligned(p, align));
            bmm_free(p);
        }
}

PLAIN_TEST(realloc_keeps_content)
{
    unsigned char *p = malloc(1);
    p[0] = 0;
    for (size_t size = 1, next; size < 6000000; size = next) {
        next = size + size / 2 + 24;
        p = realloc(p, next);
        for (size_t i = 0; i < size; i += size / 64 + 1)
            PLAIN_CHECK(p[i] == (unsigned char)(i * 31));
        for (size_t i = 0; i < next; i++)
            p[i] = (unsigned char)(i * 31);
    }
    p = realloc(p, 10);
    for (size_t i = 0; i < 10; i++)
        PLAIN_CHECK(p[i] == (unsigned char)(i * 31));
    free(p);
}

PLAIN_TEST(impossible_sizes_fail_and_say_so)
{
    volatile size_t huge = SIZE_MAX - 100;
    errno = 0;
    PLAIN_CHECK(malloc(huge) == NULL && errno == ENOMEM);
    errno = 0;
    PLAIN_CHECK(calloc(huge, 3) == NULL && errno == ENOMEM);
    errno = 0;
    PLAIN_CHECK(pvalloc(huge) == NULL && errno == ENOMEM);
    errno = 0;
    PLAIN_CHECK(bmm_malloc_aligned(24, 8) == NULL && errno == EINVAL);
    char *p = malloc(10);
    strcpy(p, "kept");
    PLAIN_CHECK(realloc(p, huge) == NULL && strcmp(p, "kept") == 0);
    errno = 77;
    free(p);
    PLAIN_CHECK(errno == 77);
}

static void *free_half(void *argument)
{
    void **blocks = argument;
    for (int i = 0; i < 20000; i += 2)
        free(blocks[i]);
    return NULL;
}

PLAIN_TEST(another_thread_may_free)
{
    static void *blocks[20000];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 20000; i++)
            memset(blocks[i] = malloc((size_t)(i % 700 + 1)), i, (size_t)(i % 700 + 1));
        pthread_t thread;
        PLAIN_CHECK(pthread_create(&thread, NULL, free_half, blocks) == 0);
        for (int i = 1; i < 20000; i += 2)
            free(blocks[i]);
        PLAIN_CHECK(pthread_join(thread, NULL) == 0);
    }
}
