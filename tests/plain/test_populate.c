/* A fresh span is given memory a little ahead of what is used of it: not for the first pages, not for large slots, not where
 * the process is said to be allowed no such call, and not once several threads have heaps. */
#define _GNU_SOURCE
#include "tests/plain.h"

#include "core/client.h"
#include "core/heap.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/process.h"
#include "core/span.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define PAGE ((size_t)4096)
#define STEP (4 * PAGE)
#define PAGES_MAX 256

static size_t resident(const struct bmm__span *span)
{
    unsigned char pages[PAGES_MAX];
    size_t count = 0, page = bmm__os_page_bytes();
    PLAIN_CHECK(span->span_bytes / page <= PAGES_MAX);
    PLAIN_CHECK_EQUAL(mincore((void *)(span->start & ~(BMM__GRANULE - 1)), span->span_bytes, pages), 0); /* NOLINT */
    for (size_t i = 0; i < span->span_bytes / page; i++)
        count += pages[i] & 1;
    return count * page;
}

static void expect_system(void)
{
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* else a page may be a huge one */
    char *probe = bmm__os_map(BMM__GRANULE, BMM__GRANULE);
    unsigned char pages[BMM__GRANULE / PAGE] = { 0 };
    bmm__os_populate(probe, BMM__GRANULE);
    bool populates = mincore(probe, BMM__GRANULE, pages) == 0 && (pages[0] & 1) != 0;
    bmm__os_release(probe, BMM__GRANULE);
    if (bmm__os_page_bytes() != PAGE || !populates)
        PLAIN_SKIP("this system has other pages, or does not populate them");
}

/* Blocks of a class that nobody has used yet, one after another, until so many bytes of their span are in use. */
static const struct bmm__span *use(size_t slot_bytes, size_t bytes)
{
    static size_t used[65536];
    const struct bmm__span *span = NULL;
    for (; used[slot_bytes] < bytes; used[slot_bytes] += slot_bytes) {
        char *p = bmm__core_alloc(slot_bytes, 16, false);
        PLAIN_CHECK(p != NULL);
        span = bmm__page_map_find((uintptr_t)p);
        PLAIN_CHECK(span != NULL && span->list.slot_bytes == slot_bytes);
    }
    return span;
}

PLAIN_TEST(the_first_pages_come_by_themselves)
{
    expect_system();
    PLAIN_CHECK_EQUAL(resident(use(64, 64)), PAGE);
    PLAIN_CHECK_EQUAL(resident(use(64, 2 * PAGE)), 2 * PAGE);
}

PLAIN_TEST(then_a_step_at_a_time)
{
    expect_system();
    PLAIN_CHECK_EQUAL(resident(use(64, 2 * PAGE + 64)), STEP);
    PLAIN_CHECK_EQUAL(resident(use(64, STEP)), STEP);
    PLAIN_CHECK_EQUAL(resident(use(64, STEP + 64)), 2 * STEP);
    PLAIN_CHECK_EQUAL(resident(use(64, 3 * STEP + 64)), 4 * STEP);
}

PLAIN_TEST(of_slots_of_a_page_too)
{
    expect_system();
    PLAIN_CHECK_EQUAL(resident(use(4096, 3 * PAGE)), STEP);
}

PLAIN_TEST(large_slots_have_what_is_touched_of_them)
{
    expect_system();
    const struct bmm__span *span = use(8192, 8 * 8192);
    PLAIN_CHECK(resident(span) <= 8 * PAGE + PAGE);
}

PLAIN_TEST(what_was_used_before_is_not_asked_for_again)
{
    static void *blocks[2048];
    const struct bmm__span *span = NULL;
    for (size_t i = 0; i < 2048; i++)
        PLAIN_CHECK((blocks[i] = bmm__core_alloc(192, 16, false)) != NULL);
    span = bmm__page_map_find((uintptr_t)blocks[0]);
    PLAIN_CHECK((span->use & BMM__SPAN_IS_FRESH) != 0 && (span->use & BMM__SPAN_IS_NEXT) == 0);
    span = bmm__page_map_find((uintptr_t)blocks[2047]);
    PLAIN_CHECK((span->use & BMM__SPAN_IS_FRESH) != 0 && (span->use & BMM__SPAN_IS_NEXT) != 0);
    uintptr_t start = bmm__page_map_find((uintptr_t)blocks[0])->start;
    for (size_t i = 0; i < 2048; i++)
        bmm__core_free(blocks[i]);
    bmm__heap_minimize(bmm__thread_heap());
    PLAIN_CHECK(bmm__page_map_find(start) == NULL);
    size_t hits = 0;
    for (size_t i = 0; i < 2048; i++) {
        PLAIN_CHECK((blocks[i] = bmm__core_alloc(160, 16, false)) != NULL);
        span = bmm__page_map_find((uintptr_t)blocks[i]);
        if (span->start != start)
            continue;
        PLAIN_CHECK((span->use & BMM__SPAN_IS_FRESH) == 0);
        hits++;
    }
    PLAIN_CHECK(hits != 0);
}

PLAIN_TEST(as_it_is_allowed)
{
    expect_system();
    bmm__os_populate_allow(false);
    PLAIN_CHECK_EQUAL(resident(use(48, 2 * PAGE + 48)), 3 * PAGE);
    bmm__os_populate_allow(true);
    PLAIN_CHECK_EQUAL(resident(use(80, 2 * PAGE + 80)), STEP);
}

static void *allocate(void *block)
{
    *(void **)block = bmm__core_alloc(16, 16, false);
    return NULL;
}

/* The system's call waits, and lets wait, where several threads change the address space. The last case: it is so from then on. */
PLAIN_TEST(not_once_two_threads_have_heaps)
{
    expect_system();
    PLAIN_CHECK_EQUAL(resident(use(112, 2 * PAGE + 112)), STEP);
    pthread_t thread;
    void *block = NULL;
    PLAIN_CHECK_EQUAL(pthread_create(&thread, NULL, allocate, &block), 0);
    pthread_join(thread, NULL);
    PLAIN_CHECK(block != NULL);
    PLAIN_CHECK_EQUAL(resident(use(112, STEP + 112)), STEP + PAGE); /* nor does one that was opened before go on */
    const struct bmm__span *span = use(144, 2 * PAGE + 144);
    PLAIN_CHECK(resident(span) <= 3 * PAGE);
    PLAIN_CHECK((span->use & (BMM__SPAN_IS_FRESH | BMM__SPAN_IS_NEXT)) == 0);
}
