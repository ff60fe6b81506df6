/* What the heap holds: the walk over its blocks, statistics, and the calls of glibc that tell of them. */
#define _GNU_SOURCE
#include "tests/facts.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 3000

/* ---- the walk ---- */

struct seen {
    char *blocks[COUNT];
    unsigned found[COUNT];
    size_t size[COUNT];
    size_t count, others;
    bool is_right;
};
static struct seen seen;

static bool note(const struct bmm_memory_options *block, void *context)
{
    struct seen *all = context;
    struct bmm_memory_options again;
    if (!bmm_memory_options(block->start, &again) || again.start != block->start || again.size != block->size ||
        again.kind != block->kind)
        all->is_right = false;
    for (size_t i = 0; i < all->count; i++)
        if (all->blocks[i] == block->start) {
            all->found[i]++;
            if (facts_is_recorded() && block->size != all->size[i])
                all->is_right = false;
            return true;
        }
    all->others++;
    return true;
}

static size_t size_of(size_t i)
{
    static const size_t large[] = { 40000, 300000, 2 << 20, 5 << 20 };
    return i % 500 == 0 ? large[i / 500 % 4] : 1 + i * 7 % 5000;
}

static void walk(size_t expected_live)
{
    memset(seen.found, 0, sizeof seen.found);
    seen.others = 0;
    seen.is_right = true;
    bmm_heap_walk(note, &seen);
    PLAIN_CHECK(seen.is_right);
    size_t live = 0;
    for (size_t i = 0; i < seen.count; i++) {
        PLAIN_CHECK(seen.found[i] <= 1);
        live += seen.found[i];
    }
    PLAIN_CHECK_EQUAL(live, expected_live);
}

PLAIN_TEST(every_live_block_is_visited_once)
{
    seen.count = COUNT;
    for (size_t i = 0; i < COUNT; i++) {
        seen.size[i] = size_of(i);
        seen.blocks[i] = malloc(seen.size[i]);
    }
    walk(COUNT);
    for (size_t i = 0; i < COUNT; i += 3)
        free(seen.blocks[i]);
    walk(COUNT - COUNT / 3);
    for (size_t i = 0; i < COUNT; i++)
        if (i % 3 != 0)
            free(seen.blocks[i]);
    walk(0);
}

PLAIN_TEST(pages_and_memory_blocks_are_visited)
{
    seen.count = 2;
    seen.size[0] = 5 * BMM_PAGE_BYTES;
    seen.size[1] = 65536;
    seen.blocks[0] = bmm_pages_get(5);
    seen.blocks[1] = bmm_memory_block_get(65536);
    walk(2);
    bmm_pages_free(seen.blocks[0]);
    bmm_memory_block_free(seen.blocks[1]);
    walk(0);
}

static bool first_only(const struct bmm_memory_options *block, void *context)
{
    (void)block;
    ++*(unsigned *)context;
    return false;
}

PLAIN_TEST(a_walk_ends_when_it_is_told_to)
{
    unsigned calls = 0;
    void *volatile p = malloc(10);
    bmm_heap_walk(first_only, &calls);
    PLAIN_CHECK_EQUAL(calls, 1);
    free(p);
}

static bool free_it(const struct bmm_memory_options *block, void *context)
{
    if (block->start == *(void **)context) {
        free(block->start);
        *(void **)context = malloc(5000);
    }
    return true;
}

PLAIN_TEST(a_visitor_may_free_and_allocate)
{
    void *volatile p = malloc(4000), *before = p;
    void *mine = p;
    bmm_heap_walk(free_it, &mine);
    PLAIN_CHECK(mine != before);
    free(mine);
}

enum { RUN_COUNT = 300, SLOT_COUNT = 3000 };
static void *runs[RUN_COUNT], *slots[SLOT_COUNT];

/* Their memory goes, and descriptors become those of other spans, under the walk. */
static bool exchange_all(const struct bmm_memory_options *block, void *context)
{
    bool *is_done = context;
    if (*is_done || block->start != runs[0])
        return true;
    *is_done = true;
    for (unsigned i = 0; i < RUN_COUNT; i++)
        free(runs[i]);
    for (unsigned i = 0; i < 4; i++)
        bmm_heap_minimize();
    for (unsigned i = 0; i < SLOT_COUNT; i++)
        slots[i] = malloc(30000);
    return true;
}

PLAIN_TEST(a_visitor_may_exchange_all_there_is)
{
    bool is_done = false;
    for (unsigned i = 0; i < RUN_COUNT; i++)
        runs[i] = malloc(100000);
    bmm_heap_walk(exchange_all, &is_done);
    PLAIN_CHECK(is_done);
    for (unsigned i = 0; i < SLOT_COUNT; i++)
        free(slots[i]);
}

static unsigned char is_over;

static void *churn(void *seed)
{
    uint64_t random = (uintptr_t)seed;
    void *blocks[256] = { NULL };
    while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned k = (unsigned)(random >> 40) % 256;
        free(blocks[k]);
        blocks[k] = malloc((random >> 50) % (k == 0 ? 3 << 20 : 3000) + 1);
    }
    for (unsigned k = 0; k < 256; k++)
        free(blocks[k]);
    return NULL;
}

static bool count_all(const struct bmm_memory_options *block, void *context)
{
    *(size_t *)context += block->block_size != 0;
    return true;
}

static void look_while_others_allocate(unsigned thread_count)
{
    pthread_t threads[16];
    is_over = 0;
    for (unsigned i = 0; i < thread_count; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)(i + 1)); /* NOLINT */
    size_t count = 0;
    for (unsigned i = 0; i < 20; i++) {
        struct bmm_stats stats;
        bmm_heap_walk(count_all, &count);
        bmm_stats(&stats);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    PLAIN_CHECK(count != 0);
}

PLAIN_TEST(others_may_allocate_meanwhile)
{
    look_while_others_allocate(1);
    look_while_others_allocate(15);
}

/* ---- statistics ---- */

static struct bmm_stats before, after;

static size_t live_of_size(const struct bmm_stats *stats, size_t size)
{
    for (unsigned i = 0; i < BMM_STATS_CLASSES; i++)
        if (stats->classes[i].block_bytes >= size)
            return stats->classes[i].live_count;
    return 0;
}

PLAIN_TEST(live_blocks_are_counted)
{
    static void *blocks[1000];
    static const size_t sizes[] = { 16, 112, 1024, 3000, 20000 };
    if (facts_is_checked())
        PLAIN_SKIP("slots are longer, and freed ones kept back");
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        bmm_stats(&before);
        for (unsigned i = 0; i < 1000; i++)
            blocks[i] = malloc(sizes[k]);
        bmm_stats(&after);
        PLAIN_CHECK_EQUAL(live_of_size(&after, sizes[k]) - live_of_size(&before, sizes[k]), 1000);
        for (unsigned i = 0; i < 1000; i += 2)
            free(blocks[i]);
        bmm_stats(&after);
        PLAIN_CHECK_EQUAL(live_of_size(&after, sizes[k]) - live_of_size(&before, sizes[k]), 500);
        for (unsigned i = 1; i < 1000; i += 2)
            free(blocks[i]);
        bmm_stats(&after);
        PLAIN_CHECK_EQUAL(live_of_size(&after, sizes[k]), live_of_size(&before, sizes[k]));
    }
}

static void *blocks_of_another[1000];

static void *allocate_there(void *unused)
{
    for (unsigned i = 0; i < 1000; i++)
        blocks_of_another[i] = malloc(500);
    return unused;
}

static void *free_some(void *unused)
{
    for (unsigned i = 0; i < 990; i++)
        free(blocks_of_another[i]);
    return unused;
}

PLAIN_TEST(what_others_freed_is_counted)
{
    pthread_t thread;
    if (facts_is_checked())
        PLAIN_SKIP("freed blocks are kept back");
    bmm_stats(&before);
    pthread_create(&thread, NULL, allocate_there, NULL);
    pthread_join(thread, NULL);
    bmm_stats(&after);
    PLAIN_CHECK_EQUAL(live_of_size(&after, 500) - live_of_size(&before, 500), 1000);
    pthread_create(&thread, NULL, free_some, NULL);
    pthread_join(thread, NULL);
    free(blocks_of_another[990]); /* waits in an outbox */
    bmm_stats(&after);
    PLAIN_CHECK_EQUAL(live_of_size(&after, 500) - live_of_size(&before, 500), 9);
    for (unsigned i = 991; i < 1000; i++)
        free(blocks_of_another[i]);
    bmm_stats(&after);
    PLAIN_CHECK_EQUAL(live_of_size(&after, 500), live_of_size(&before, 500));
}

PLAIN_TEST(kinds_are_counted)
{
    if (facts_is_checked())
        PLAIN_SKIP("blocks have guards");
    bmm_stats(&before);
    void *big = malloc(100000), *bigger = malloc(4 << 20), *large = malloc(100 << 20), *pages = bmm_pages_get(3);
    void *more_pages = bmm_pages_get(1000), *block = bmm_memory_block_get(16384), *small = malloc(10);
    bmm_stats(&after);
    static const size_t more[] = {
        [BMM_MEMORY_SMALL] = 1, [BMM_MEMORY_BIG] = 2,   [BMM_MEMORY_LARGE] = 1,
        [BMM_MEMORY_PAGES] = 2, [BMM_MEMORY_BLOCK] = 1,
    };
    for (unsigned kind = BMM_MEMORY_SMALL; kind <= BMM_MEMORY_KIND_LAST; kind++) {
        size_t expected = kind < sizeof more / sizeof *more ? more[kind] : 0;
        PLAIN_CHECK_EQUAL(after.kinds[kind].live_count - before.kinds[kind].live_count, expected);
        PLAIN_CHECK(after.kinds[kind].peak_bytes >= after.kinds[kind].live_bytes);
    }
    PLAIN_CHECK(after.kinds[BMM_MEMORY_PAGES].live_bytes - before.kinds[BMM_MEMORY_PAGES].live_bytes >= 1003 * 4096);
    PLAIN_CHECK(after.kinds[BMM_MEMORY_LARGE].live_bytes - before.kinds[BMM_MEMORY_LARGE].live_bytes == 100 << 20);
    PLAIN_CHECK(after.mapped_bytes >= before.mapped_bytes + (100 << 20));
    pages = bmm_pages_realloc(pages, 400);
    more_pages = bmm_pages_realloc(more_pages, 3);
    large = realloc(large, 200 << 20);
    free(big), free(bigger), free(large), bmm_pages_free(pages), bmm_pages_free(more_pages);
    bmm_memory_block_free(block), free(small);
    struct bmm_stats end;
    bmm_stats(&end);
    for (unsigned kind = BMM_MEMORY_SMALL; kind <= BMM_MEMORY_KIND_LAST; kind++) {
        PLAIN_CHECK_EQUAL(end.kinds[kind].live_count, before.kinds[kind].live_count);
        PLAIN_CHECK_EQUAL(end.kinds[kind].live_bytes, before.kinds[kind].live_bytes);
        PLAIN_CHECK(end.kinds[kind].peak_bytes >= after.kinds[kind].peak_bytes);
    }
    PLAIN_CHECK(end.kinds[BMM_MEMORY_LARGE].peak_bytes >= 200 << 20);
    PLAIN_CHECK(end.kinds[BMM_MEMORY_LARGE].purged_bytes >= before.kinds[BMM_MEMORY_LARGE].purged_bytes + (200 << 20));
}

PLAIN_TEST(pieces_of_code_are_counted)
{
    struct bmm_jit_heap *heap = bmm_jit_create(0);
    bmm_stats(&before);
    char *small = bmm_jit_get(heap, 100), *large = bmm_jit_get(heap, 100000);
    if (small == NULL || large == NULL)
        PLAIN_SKIP("the system lets no code be made");
    bmm_stats(&after);
    PLAIN_CHECK_EQUAL(after.kinds[BMM_MEMORY_JIT].live_count - before.kinds[BMM_MEMORY_JIT].live_count, 2);
    PLAIN_CHECK_EQUAL(after.kinds[BMM_MEMORY_JIT].live_bytes - before.kinds[BMM_MEMORY_JIT].live_bytes, 112 + 131072);
    PLAIN_CHECK(after.kinds[BMM_MEMORY_JIT].peak_bytes >= 131072 + 65536);
    bmm_jit_destroy(heap);
    bmm_stats(&after);
    PLAIN_CHECK_EQUAL(after.kinds[BMM_MEMORY_JIT].live_count, before.kinds[BMM_MEMORY_JIT].live_count);
    PLAIN_CHECK_EQUAL(after.kinds[BMM_MEMORY_JIT].free_bytes, before.kinds[BMM_MEMORY_JIT].free_bytes);
}

PLAIN_TEST(what_is_given_back_is_counted)
{
    static void *blocks[4000];
    if (facts_is_checked())
        PLAIN_SKIP("freed blocks are kept back");
    for (unsigned i = 0; i < 4000; i++)
        memset(blocks[i] = malloc(3000), 1, 3000);
    bmm_stats(&before);
    PLAIN_CHECK(before.resident_bytes > 4000 * 3000);
    for (unsigned i = 0; i < 4000; i++)
        free(blocks[i]);
    bmm_heap_minimize();
    bmm_stats(&after);
    PLAIN_CHECK(after.purged_bytes >= before.purged_bytes + 3000 * 3000);
    PLAIN_CHECK(after.kept_bytes < 1 << 20);
    PLAIN_CHECK(after.resident_bytes + 3000 * 3000 < before.resident_bytes);
}

PLAIN_TEST(statistics_as_json)
{
    static char text[65536];
    size_t bytes = bmm_stats_json(text, sizeof text);
    PLAIN_CHECK(bytes > 1000 && bytes < sizeof text && strlen(text) == bytes);
    PLAIN_CHECK(strncmp(text, "{\"version\":1,\"mapped_bytes\":", 27) == 0 && text[bytes - 1] == '}');
    PLAIN_CHECK(strstr(text, "\"kind\":\"small\",\"live_count\":") != NULL &&
                strstr(text, "\"block_bytes\":32768,") != NULL);
    int depth = 0;
    for (const char *at = text; *at != '\0'; at++) {
        depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        PLAIN_CHECK(depth > 0 || at[1] == '\0');
    }
    PLAIN_CHECK_EQUAL(depth, 0);
    char little[10] = "untouched";
    PLAIN_CHECK(bmm_stats_json(NULL, 0) > 1000);
    PLAIN_CHECK(bmm_stats_json(little, 5) > 1000 && strcmp(little, "{\"ve") == 0 && little[5] == 'c');
}

#ifdef __GLIBC__

PLAIN_TEST(mallinfo2_tells_of_our_heap)
{
    struct mallinfo2 first = mallinfo2();
    void *small[100], *large = malloc(100 << 20);
    for (unsigned i = 0; i < 100; i++)
        small[i] = malloc(1000);
    struct mallinfo2 second = mallinfo2();
    PLAIN_CHECK(second.uordblks >= first.uordblks + 100 * 1000 && second.uordblks < first.uordblks + 1000000);
    PLAIN_CHECK_EQUAL(second.hblks, first.hblks + 1);
    PLAIN_CHECK(second.hblkhd >= first.hblkhd + (100 << 20));
    PLAIN_CHECK(second.arena == second.uordblks + second.fordblks);
    for (unsigned i = 0; i < 100; i++)
        free(small[i]);
    free(large);
    PLAIN_CHECK_EQUAL(mallinfo2().hblks, first.hblks);
}

PLAIN_TEST(malloc_info_writes_the_elements_of_glibc)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    PLAIN_CHECK(malloc_info(0, stream) == 0 && fclose(stream) == 0);
    PLAIN_CHECK(strncmp(text, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n", 43) == 0);
    PLAIN_CHECK(strstr(text, "<total type=\"mmap\" count=") != NULL &&
                strstr(text, "<system type=\"max\" size=") != NULL);
    PLAIN_CHECK(bytes > 10 && strcmp(text + bytes - 10, "</malloc>\n") == 0);
    free(text);
    errno = 0;
    PLAIN_CHECK(malloc_info(1, stdout) == -1 && errno == EINVAL);
}

PLAIN_TEST(malloc_stats_writes_to_stderr)
{
    int ends[2], saved = dup(2);
    PLAIN_CHECK(pipe(ends) == 0);
    dup2(ends[1], 2);
    malloc_stats();
    dup2(saved, 2);
    close(saved), close(ends[1]);
    static char text[65536];
    size_t used = 0;
    for (ssize_t got; (got = read(ends[0], text + used, sizeof text - 1 - used)) > 0;)
        used += (size_t)got;
    close(ends[0]);
    PLAIN_CHECK(strncmp(text, "brainmm: mapped ", 16) == 0 && strstr(text, "\n  small: ") != NULL);
    PLAIN_CHECK(strstr(text, "\n  slots of ") != NULL);
}

#endif
