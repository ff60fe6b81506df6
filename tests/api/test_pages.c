/* Memory pages, memory blocks, access rights. */
#define _GNU_SOURCE
#include "tests/facts.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PAGE BMM_PAGE_BYTES
#define USUAL (BMM_RIGHT_READ | BMM_RIGHT_WRITE)

/* Errors that were noticed so far; those of the debug library's tests stop the program otherwise. */
static bool stops_on_errors(void)
{
    const char *options = getenv("BRAINMM_OPTIONS");
    return options != NULL && (strstr(options, "mode=leak") != NULL || strstr(options, "mode=check") != NULL);
}

/* What a child says of body: 0 to 255 its answer, 1000 and more the signal that ended it. */
static int in_child(int (*body)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(99);
        _exit(body());
    }
    int status;
    PLAIN_CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

PLAIN_TEST(pages_are_whole_pages)
{
    for (size_t count = 1; count < 10000; count = count * 2 + 1) {
        unsigned char *pages = bmm_pages_get(count);
        PLAIN_CHECK(pages != NULL && (uintptr_t)pages % PAGE == 0);
        PLAIN_CHECK(bmm_usable_size(pages) >= count * PAGE);
        memset(pages, 1, count * PAGE);
        PLAIN_CHECK(bmm_pages_rights(pages) == USUAL);
        PLAIN_CHECK(bmm_pages_free(pages));
    }
}

PLAIN_TEST(no_pages_and_too_many_are_refused)
{
    errno = 0;
    PLAIN_CHECK(bmm_pages_get(0) == NULL && errno == EINVAL);
    static const size_t impossible[] = { SIZE_MAX, SIZE_MAX / PAGE, SIZE_MAX / PAGE + 1,
                                         (size_t)PTRDIFF_MAX / PAGE + 1 };
    unsigned char *pages = bmm_pages_get(3);
    memset(pages, 7, 3 * PAGE);
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        errno = 0;
        PLAIN_CHECK(bmm_pages_get(impossible[i]) == NULL && errno == ENOMEM);
        errno = 0;
        PLAIN_CHECK(bmm_pages_realloc(pages, impossible[i]) == NULL && errno == ENOMEM);
        errno = 0;
        PLAIN_CHECK(bmm_pages_reget(pages, impossible[i]) == NULL && errno == ENOMEM);
    }
    PLAIN_CHECK(facts_is_all(pages, 3 * PAGE, 7));
    PLAIN_CHECK(bmm_pages_free(pages));
}

PLAIN_TEST(pages_keep_their_content_as_they_are_resized)
{
    static const size_t counts[] = { 1, 2, 9, 3, 40, 300, 17, 5000, 9000, 20000, 100, 1 };
    unsigned char *pages = bmm_pages_realloc(NULL, 1);
    memset(pages, 1, PAGE);
    for (size_t i = 1; i < sizeof counts / sizeof *counts; i++) {
        size_t kept = counts[i] < counts[i - 1] ? counts[i] : counts[i - 1];
        pages = bmm_pages_realloc(pages, counts[i]);
        PLAIN_CHECK(pages != NULL && (uintptr_t)pages % PAGE == 0);
        PLAIN_CHECK(facts_is_all(pages, kept * PAGE, (int)i));
        memset(pages, (int)i + 1, counts[i] * PAGE);
    }
    PLAIN_CHECK(bmm_pages_realloc(pages, 0) == NULL);
}

PLAIN_TEST(pages_that_become_fewer_stay)
{
    static const size_t counts[] = { 20000, 9000, 900, 300, 100, 2, 1 };
    unsigned char *pages = bmm_pages_get(counts[0]);
    for (size_t i = 1; i < sizeof counts / sizeof *counts; i++)
        PLAIN_CHECK(bmm_pages_realloc(pages, counts[i]) == pages);
    PLAIN_CHECK(bmm_pages_free(pages));
}

PLAIN_TEST(pages_can_be_had_anew_without_their_content)
{
    static const size_t counts[] = { 1, 2, 9, 3, 40, 300, 17, 5000, 9000, 20000, 100, 1 };
    unsigned char *pages = bmm_pages_reget(NULL, 1), *neighbour = bmm_pages_get(1);
    memset(neighbour, 99, PAGE);
    for (size_t i = 1; i < sizeof counts / sizeof *counts; i++) {
        pages = bmm_pages_reget(pages, counts[i]);
        PLAIN_CHECK(pages != NULL && (uintptr_t)pages % PAGE == 0 && bmm_usable_size(pages) >= counts[i] * PAGE);
        memset(pages, (int)i, counts[i] * PAGE);
    }
    PLAIN_CHECK(facts_is_all(neighbour, PAGE, 99));
    PLAIN_CHECK(bmm_pages_reget(pages, 0) == NULL);
    PLAIN_CHECK(bmm_pages_free(neighbour));
}

/* The case that the original's author describes: 4 free pages on the left, 2 used, 3 free on the right. */
static void grow_to(size_t count, bool keeps)
{
    unsigned char *left = bmm_pages_get(4), *used = bmm_pages_get(2), *right = bmm_pages_get(3),
                  *end = bmm_pages_get(1);
    bool is_row = used == left + 4 * PAGE && right == used + 2 * PAGE && end == right + 3 * PAGE;
    if (!is_row) { /* under the debug layer, or where the address space is in pieces */
        PLAIN_CHECK(bmm_pages_free(left) && bmm_pages_free(used) && bmm_pages_free(right) && bmm_pages_free(end));
        PLAIN_SKIP("the four did not come side by side");
    }
    memset(used, 5, 2 * PAGE);
    memset(end, 6, PAGE);
    PLAIN_CHECK(bmm_pages_free(left) && bmm_pages_free(right));
    bool may_move = stops_on_errors() && count != 5; /* the debug layer has them move to the right only */
    unsigned char *grown = keeps ? bmm_pages_realloc(used, count) : bmm_pages_reget(used, count);
    PLAIN_CHECK(grown != NULL && (may_move || (grown >= left && grown + count * PAGE <= end)));
    PLAIN_CHECK(count > 5 || grown == used);
    PLAIN_CHECK(!keeps || facts_is_all(grown, 2 * PAGE, 5));
    memset(grown, 8, count * PAGE);
    PLAIN_CHECK(facts_is_all(end, PAGE, 6));
    PLAIN_CHECK(bmm_pages_free(grown) && bmm_pages_free(end));
}

PLAIN_TEST(pages_grow_to_the_right)
{
    grow_to(5, true);
    grow_to(5, false);
}

PLAIN_TEST(pages_grow_to_both_sides)
{
    grow_to(6, true);
    grow_to(6, false);
}

PLAIN_TEST(pages_grow_to_all_that_is_free)
{
    grow_to(9, true);
    grow_to(9, false);
}

static int free_wrong(void)
{
    unsigned char *pages = bmm_pages_get(4), *block = bmm_malloc(100000), *memory_block = bmm_memory_block_get(65536);
    void *wrong[] = { pages + PAGE, pages + 16, block, memory_block, (void *)0x12345000, &pages, wrong };
    memset(pages, 1, 4 * PAGE);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        errno = 0;
        if (bmm_pages_free(wrong[i]) || errno != EINVAL)
            return 1 + (int)i;
        errno = 0;
        if (bmm_pages_realloc(wrong[i], 2) != NULL || errno != EINVAL)
            return 20 + (int)i;
        errno = 0;
        if (bmm_pages_reget(wrong[i], 2) != NULL || errno != EINVAL)
            return 40 + (int)i;
    }
    memset(block, 2, 100000);
    memset(memory_block, 3, 65536);
    if (!facts_is_all(pages, 4 * PAGE, 1) || !bmm_pages_free(pages))
        return 60;
    errno = 0;
    if (bmm_pages_free(pages) || errno != EINVAL) /* twice */
        return 61;
    bmm_free(block);
    return bmm_memory_block_free(memory_block) ? 0 : 62;
}

PLAIN_TEST(what_is_no_start_of_pages_is_refused)
{
    if (stops_on_errors())
        PLAIN_CHECK(in_child(free_wrong) == 1000 + SIGABRT); /* on_error=stop: it was reported */
    else
        PLAIN_CHECK(in_child(free_wrong) == 0);
}

PLAIN_TEST(no_pages_are_freed_at_no_cost)
{
    errno = 77;
    PLAIN_CHECK(bmm_pages_free(NULL) && bmm_memory_block_free(NULL) && errno == 77);
}

PLAIN_TEST(pages_and_blocks_can_be_given_to_free)
{
    free(bmm_pages_get(3));
    free(bmm_pages_get(3000));
    free(bmm_memory_block_get(16384));
    bmm_free(bmm_memory_block_get(1 << 20));
    void *block = bmm_memory_block_get(16384), *other = bmm_memory_block_get(1 << 20);
    struct bmm_memory_options options;
    PLAIN_CHECK(realloc(block, 0) == NULL && !bmm_memory_options(block, &options));
    PLAIN_CHECK(bmm_reget(other, 0) == NULL && !bmm_memory_options(other, &options));
    errno = 0;
    PLAIN_CHECK(bmm_pages_realloc(NULL, 0) == NULL && errno == EINVAL);
    errno = 0;
    PLAIN_CHECK(bmm_pages_reget(NULL, 0) == NULL && errno == EINVAL);
}

/* ---- memory blocks ---- */

PLAIN_TEST(a_mask_leads_to_the_start_of_a_memory_block)
{
    for (size_t size = BMM_MEMORY_BLOCK_BYTES_MIN; size <= BMM_MEMORY_BLOCK_BYTES_MAX; size *= 4) {
        unsigned char *block = bmm_memory_block_get(size), *other = bmm_memory_block_get(size);
        PLAIN_CHECK(block != NULL && other != NULL && block != other);
        PLAIN_CHECK((uintptr_t)block % size == 0 && (uintptr_t)other % size == 0);
        memset(block, 1, 32);
        block[size - 1] = 2;
        uintptr_t inside = (uintptr_t)block + size - 1;
        PLAIN_CHECK((inside & -size) == (uintptr_t)block);
        PLAIN_CHECK(bmm_usable_size(block) == size);
        PLAIN_CHECK(bmm_memory_block_free(block) && bmm_memory_block_free(other));
    }
}

PLAIN_TEST(memory_blocks_have_nine_sizes)
{
    static const size_t wrong[] = { 0,
                                    1,
                                    16,
                                    2048,
                                    4095,
                                    4097,
                                    8192,
                                    12288,
                                    32768,
                                    131072,
                                    512 << 10,
                                    (size_t)512 << 20,
                                    (size_t)1 << 30,
                                    SIZE_MAX,
                                    SIZE_MAX - 4095,
                                    (size_t)1 << 63 };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        errno = 0;
        PLAIN_CHECK(bmm_memory_block_get(wrong[i]) == NULL && errno == EINVAL);
    }
}

PLAIN_TEST(a_memory_block_cannot_be_resized)
{
    static const size_t sizes[] = { 4096, 65536, 1 << 20, 64 << 20 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *block = bmm_memory_block_get(sizes[i]);
        memset(block, 9, 5000 < sizes[i] ? 5000 : sizes[i]);
        static const size_t to[] = { 1, 4095, 4096, 100000, 128 << 20 };
        for (size_t k = 0; k < sizeof to / sizeof *to; k++) {
            errno = 0;
            PLAIN_CHECK(realloc(block, to[k]) == NULL && errno == EINVAL);
            errno = 0;
            PLAIN_CHECK(bmm_reget(block, to[k]) == NULL && errno == EINVAL);
        }
        PLAIN_CHECK(facts_is_all(block, 4096, 9) && bmm_usable_size(block) == sizes[i]);
        PLAIN_CHECK(bmm_memory_block_free(block));
    }
}

static int free_wrong_blocks(void)
{
    unsigned char *block = bmm_memory_block_get(65536), *pages = bmm_pages_get(16);
    void *other = bmm_malloc_aligned(65536, 65536), *wrong[] = { block + 16, block + PAGE, pages, other, (void *)4096 };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        errno = 0;
        if (bmm_memory_block_free(wrong[i]) || errno != EINVAL)
            return 1 + (int)i;
    }
    bmm_free(other);
    return bmm_pages_free(pages) && bmm_memory_block_free(block) && !bmm_memory_block_free(block) ? 0 : 20;
}

PLAIN_TEST(what_is_no_memory_block_is_refused)
{
    PLAIN_CHECK(in_child(free_wrong_blocks) == (stops_on_errors() ? 1000 + SIGABRT : 0));
}

/* ---- rights ---- */

static sigjmp_buf fault;

static void on_fault(int signal)
{
    siglongjmp(fault, signal);
}

static bool can_write(volatile char *p)
{
    struct sigaction action = { .sa_handler = on_fault }, old_segv, old_bus;
    sigaction(SIGSEGV, &action, &old_segv);
    sigaction(SIGBUS, &action, &old_bus);
    volatile bool is_done = false;
    if (sigsetjmp(fault, 1) == 0) {
        *p = *p;
        is_done = true;
    }
    sigaction(SIGSEGV, &old_segv, NULL);
    sigaction(SIGBUS, &old_bus, NULL);
    return is_done;
}

PLAIN_TEST(rights_are_what_was_asked_for)
{
    static const unsigned rights[] = { BMM_RIGHT_NONE, BMM_RIGHT_READ, BMM_RIGHT_READ | BMM_RIGHT_EXECUTE, USUAL };
    static const size_t counts[] = { 4, 64, 1000, 20000 };
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        char *pages = bmm_pages_get(counts[k]);
        for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) {
            PLAIN_CHECK(bmm_pages_protect(pages + PAGE, 2, rights[i])); /* a part of them */
            PLAIN_CHECK(bmm_pages_rights(pages) == USUAL && bmm_pages_rights(pages + 3 * PAGE) == USUAL);
            PLAIN_CHECK(bmm_pages_rights(pages + PAGE + 7) == (int)rights[i]);
            PLAIN_CHECK(bmm_pages_rights(pages + 3 * PAGE - 1) == (int)rights[i]);
            PLAIN_CHECK(can_write(pages + PAGE) == (rights[i] == USUAL));
            PLAIN_CHECK(can_write(pages));
        }
        PLAIN_CHECK(bmm_pages_free(pages));
    }
}

PLAIN_TEST(rights_of_freed_pages_are_reset)
{
    static const size_t counts[] = { 1, 8, 64, 255, 1000, 9000 };
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
        for (unsigned round = 0; round < 20; round++) {
            char *pages = bmm_pages_get(counts[k]);
            PLAIN_CHECK(pages != NULL && can_write(pages) && can_write(pages + counts[k] * PAGE - 1));
            PLAIN_CHECK(bmm_pages_rights(pages) == USUAL);
            PLAIN_CHECK(bmm_pages_protect(pages, counts[k], BMM_RIGHT_NONE));
            if (round % 2 == 0)
                PLAIN_CHECK(bmm_pages_free(pages));
            else
                free(pages);
            char *block = malloc(counts[k] * PAGE);
            memset(block, 1, counts[k] * PAGE);
            free(block);
        }
}

PLAIN_TEST(pages_without_rights_can_be_resized)
{
    static const size_t counts[][2] = {
        { 2, 20 }, { 20, 2 }, { 200, 400 }, { 400, 3000 }, { 3000, 40 }, { 9000, 20000 }
    };
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
        for (unsigned keeps = 0; keeps < 2; keeps++) {
            unsigned char *pages = bmm_pages_get(counts[k][0]), *behind = bmm_pages_get(1);
            memset(pages, 1, counts[k][0] * PAGE);
            PLAIN_CHECK(bmm_pages_protect(pages, counts[k][0], BMM_RIGHT_NONE));
            unsigned char *moved =
                keeps ? bmm_pages_realloc(pages, counts[k][1]) : bmm_pages_reget(pages, counts[k][1]);
            PLAIN_CHECK(moved != NULL);
            PLAIN_CHECK(bmm_pages_protect(moved, counts[k][1], USUAL));
            if (keeps)
                PLAIN_CHECK(facts_is_all(moved, 2 * PAGE, 1));
            memset(moved, 2, counts[k][1] * PAGE);
            PLAIN_CHECK(bmm_pages_free(moved) && bmm_pages_free(behind));
        }
}

PLAIN_TEST(pages_that_can_only_be_read_can_be_shrunk)
{
    for (unsigned keeps = 0; keeps < 2; keeps++) {
        unsigned char *pages = bmm_pages_get(4);
        memset(pages, 1, 4 * PAGE);
        PLAIN_CHECK(bmm_pages_protect(pages, 4, BMM_RIGHT_READ));
        pages = keeps ? bmm_pages_realloc(pages, 3) : bmm_pages_reget(pages, 3);
        PLAIN_CHECK(pages != NULL && (!keeps || facts_is_all(pages, 3 * PAGE, 1)));
        PLAIN_CHECK(bmm_pages_free(pages));
    }
}

/* In front of libc's: a system that makes nothing writable, as where a process has all the mappings that it may have. */
static bool is_refusing;

int mprotect(void *start, size_t bytes, int rights)
{
    if (is_refusing && (rights & PROT_WRITE) != 0) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_mprotect, start, bytes, rights);
}

static int free_in_vain(void)
{
    char *pages[60];
    for (unsigned i = 0; i < 60; i++) {
        pages[i] = memset(bmm_pages_get(i < 50 ? 8 : 3000), 1, 8 * PAGE);
        if (!(bmm_pages_protect(pages[i], i < 50 ? 8 : 3000, BMM_RIGHT_NONE)))
            return 1;
    }
    is_refusing = true;
    errno = 0;
    if (!(bmm_pages_realloc(pages[1], 20) == NULL && errno == ENOMEM))
        return 1;
    if (!(bmm_pages_rights(pages[1]) == BMM_RIGHT_NONE))
        return 1;
    for (unsigned i = 0; i < 60; i++)
        if (!(bmm_pages_free(pages[i])))
            return 1;
    is_refusing = false;
    for (unsigned i = 0; i < 120; i++)
        memset(bmm_pages_get(i % 60 < 50 ? 8 : 3000), 1, 8 * PAGE);
    return 0;
}

PLAIN_TEST(pages_whose_rights_cannot_be_restored_are_used_no_more)
{
    PLAIN_CHECK_EQUAL(in_child(free_in_vain), 0);
}

static int shrink_in_vain(void)
{
    static const size_t sizes[] = { 200000, 5000000, 100000000 };
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t count = sizes[i] / PAGE;
        char *block = memset(bmm_pages_get(count), 1, PAGE);
        if (!(bmm_pages_protect(block, count, BMM_RIGHT_READ)))
            return 1;
        is_refusing = true;
        char *shrunk = bmm_pages_realloc(block, 1);
        is_refusing = false;
        if (shrunk == NULL && facts_is_checked()) /* no guard can be laid: as it was */
            shrunk = block;
        if (!(shrunk != NULL && facts_is_all(shrunk, PAGE, 1)))
            return 1;
        if (!(bmm_pages_free(shrunk)))
            return 1;
    }
    return 0;
}

PLAIN_TEST(pages_whose_rights_cannot_be_restored_can_shrink)
{
    PLAIN_CHECK_EQUAL(in_child(shrink_in_vain), 0);
}

PLAIN_TEST(rights_of_other_memory)
{
    char *foreign = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    PLAIN_CHECK(foreign != MAP_FAILED && bmm_pages_rights(foreign) == BMM_RIGHT_READ);
    PLAIN_CHECK(bmm_pages_protect(foreign, 4, USUAL) && bmm_pages_rights(foreign + PAGE) == USUAL);
    munmap(foreign, 4 * PAGE);
    errno = 0;
    PLAIN_CHECK(bmm_pages_rights(foreign) == -1 && errno == ENOMEM);
    errno = 0;
    PLAIN_CHECK(!bmm_pages_protect(foreign, 4, USUAL) && errno == ENOMEM);
    int here = 0;
    PLAIN_CHECK((bmm_pages_rights(&here) & USUAL) == USUAL);
    PLAIN_CHECK(bmm_pages_rights((const void *)(uintptr_t)in_child) == (BMM_RIGHT_READ | BMM_RIGHT_EXECUTE));
    errno = 0;
    PLAIN_CHECK(bmm_pages_rights(NULL) == -1 && errno == ENOMEM);
}

PLAIN_TEST(wrong_rights_and_addresses_are_refused)
{
    char *pages = bmm_pages_get(2);
    errno = 0;
    PLAIN_CHECK(!bmm_pages_protect(pages + 16, 1, USUAL) && errno == EINVAL);
    errno = 0;
    PLAIN_CHECK(!bmm_pages_protect(pages, 1, 8) && errno == EINVAL);
    errno = 0;
    PLAIN_CHECK(!bmm_pages_protect(pages, SIZE_MAX / 2, USUAL) && errno == ENOMEM);
    errno = 0;
    PLAIN_CHECK(!bmm_pages_protect(pages, (size_t)1 << 51, BMM_RIGHT_READ) && errno == ENOMEM); /* at once */
    errno = 0;
    PLAIN_CHECK(!bmm_pages_protect(pages, SIZE_MAX / PAGE, USUAL) && errno == ENOMEM);
    PLAIN_CHECK(bmm_pages_rights(pages) == USUAL);
    PLAIN_CHECK(bmm_pages_free(pages));
}

/* ---- threads ---- */

static void *use(void *seed)
{
    unsigned long random = (unsigned long)(uintptr_t)seed, wrong = 0;
    unsigned char *pages[16] = { NULL };
    size_t counts[16] = { 0 };
    for (unsigned i = 0; i < 3000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned k = (unsigned)(random >> 40) % 16;
        size_t count = 1 + (random >> 50) % (i % 50 == 0 ? 2000 : 30);
        unsigned char stamp = (unsigned char)((uintptr_t)&pages[k] >> 3);
        size_t kept = counts[k] < count ? counts[k] : count;
        if (random >> 33 & 1) {
            pages[k] = bmm_pages_realloc(pages[k], count);
            wrong += pages[k] == NULL || (kept != 0 && (pages[k][0] != stamp || pages[k][kept * PAGE - 1] != stamp));
        } else {
            pages[k] = bmm_pages_reget(pages[k], count);
            wrong += pages[k] == NULL;
        }
        counts[k] = count;
        for (size_t page = 0; page < count; page++)
            pages[k][page * PAGE] = pages[k][page * PAGE + PAGE - 1] = stamp;
        if (random >> 34 & 1) {
            wrong += !bmm_pages_protect(pages[k], count, BMM_RIGHT_READ) || !bmm_pages_free(pages[k]);
            pages[k] = NULL;
            counts[k] = 0;
        }
    }
    for (unsigned k = 0; k < 16; k++)
        wrong += !bmm_pages_free(pages[k]);
    return (void *)wrong; /* NOLINT */
}

static void use_by(unsigned thread_count)
{
    PLAIN_CHECK_EQUAL(facts_wrong_by(thread_count, use), 0);
}

PLAIN_TEST_BY_THREADS(use_by)
