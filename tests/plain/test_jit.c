/* What is found of JIT memory, by anyone at any time; that it is no block of the core's; and the invariants, by number. */
#include "tests/plain.h"

#include "core/atomic.h"
#include "core/client.h"
#include "core/jit.h"
#include "core/os.h"
#include "core/valid.h"

#include "brainmm/brainmm.h"

#include <pthread.h>

enum { ONE_VIEW = BMM__OS_READ | BMM__OS_WRITE | BMM__OS_EXECUTE };

static void check_valid(const struct bmm_jit_heap *heap)
{
    const char *broken = bmm__jit_invalid(heap);
    if (broken != NULL)
        plain_stop(PLAIN_FAILED, "%s", broken);
}

static void check_found(const char *start, size_t bytes, unsigned rights)
{
    const size_t offsets[] = { 0, bytes / 3, bytes / 2, bytes - 1 };
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct bmm__jit_view view;
        PLAIN_CHECK(bmm__jit_find((uintptr_t)start + offsets[i], &view));
        PLAIN_CHECK(view.start == (uintptr_t)start && view.bytes == bytes && view.rights == rights);
    }
}

static bool is_found(const void *address)
{
    struct bmm__jit_view view;
    return bmm__jit_find((uintptr_t)address, &view);
}

static void find_pieces(unsigned flags)
{
    static const size_t sizes[] = { 1, 15, 16, 17, 31, 32, 33, 1000, 1024, 32767, 32768, 32769, 65536, 65537, 5000000 };
    enum { COUNT = sizeof sizes / sizeof *sizes };
    char *pieces[COUNT], *codes[COUNT];
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    for (int i = 0; i < COUNT; i++) {
        pieces[i] = bmm_jit_get(heap, sizes[i]);
        codes[i] = bmm_jit_code(heap, pieces[i]);
        check_valid(heap);
    }
    bool has_two = bmm_jit_has_dual_views(heap);
    for (int i = 0; i < COUNT; i++) {
        check_found(pieces[i], sizes[i], has_two ? BMM__OS_READ | BMM__OS_WRITE : ONE_VIEW);
        check_found(codes[i], sizes[i], has_two ? BMM__OS_READ | BMM__OS_EXECUTE : ONE_VIEW);
        for (size_t at = sizes[i]; at % 16 != 0; at++)
            PLAIN_CHECK(!is_found(pieces[i] + at) && !is_found(codes[i] + at));
    }
    for (int i = 0; i < COUNT; i += 2) {
        PLAIN_CHECK(bmm_jit_free(heap, codes[i]));
        PLAIN_CHECK(!is_found(pieces[i]) && !is_found(codes[i]) && !is_found(pieces[i] + sizes[i] - 1));
        check_valid(heap);
    }
    for (int i = 1; i < COUNT; i += 2)
        check_found(codes[i], sizes[i], has_two ? BMM__OS_READ | BMM__OS_EXECUTE : ONE_VIEW);
    bmm_jit_clear(heap);
    check_valid(heap);
    for (int i = 0; i < COUNT; i++)
        PLAIN_CHECK(!is_found(pieces[i]) && !is_found(codes[i]));
    bmm_jit_destroy(heap);
}

PLAIN_TEST(pieces_are_found_with_size_and_rights)
{
    find_pieces(0);
    find_pieces(BMM_JIT_DUAL_VIEWS);
}

PLAIN_TEST(what_is_no_piece_is_not_found)
{
    PLAIN_CHECK(!is_found(NULL) && !is_found(&plain_first) && !is_found("text"));
    for (unsigned shift = 0; shift < 64; shift++)
        PLAIN_CHECK(!is_found((const void *)(uintptr_t)((uint64_t)1 << shift)));
    PLAIN_CHECK(!is_found((const void *)UINTPTR_MAX));
    void *block = bmm__core_alloc(100, 16, false);
    PLAIN_CHECK(!is_found(block) && bmm__core_free(block));
}

PLAIN_TEST(pieces_are_no_blocks)
{
    for (unsigned flags = 0; flags <= BMM_JIT_DUAL_VIEWS; flags++) {
        struct bmm_jit_heap *heap = bmm_jit_create(flags);
        char *small = bmm_jit_get(heap, 100), *large = bmm_jit_get(heap, 100000);
        char *const addresses[] = { small, small + 16, large, bmm_jit_code(heap, small), bmm_jit_code(heap, large) };
        for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
            struct bmm__slot slot;
            PLAIN_CHECK(!bmm__core_find((uintptr_t)addresses[i], &slot) && !bmm__core_free(addresses[i]));
        }
        bmm_jit_destroy(heap);
    }
}

static bool is_jit(uintptr_t start, size_t bytes, bool is_certain, void *piece)
{
    bool *is_seen = piece;
    (void)bytes, (void)is_certain;
    *is_seen = *is_seen || is_found((const void *)start); /* NOLINT */
    return true;
}

static void see_side(struct bmm__span *span, void *side, void *is_seen)
{
    (void)span, (void)side;
    *(bool *)is_seen = true;
}

PLAIN_TEST(walks_pass_pieces_by)
{
    struct bmm_jit_heap *heap = bmm_jit_create(0);
    bool is_seen = false;
    void *block = bmm__core_alloc(100, 16, false);
    PLAIN_CHECK(bmm_jit_get(heap, 100) != NULL && bmm_jit_get(heap, 100000) != NULL);
    bmm__core_visit_blocks(is_jit, &is_seen);
    bmm__core_walk(see_side, &is_seen);
    PLAIN_CHECK(!is_seen && bmm__core_free(block));
    bmm_jit_destroy(heap);
}

/* An empty region is kept, the smaller of two; the others go back. */
PLAIN_TEST(empty_regions_go_back_but_for_one)
{
    enum { COUNT = 3000 };
    static void *pieces[COUNT];
    struct bmm_jit_heap *heap = bmm_jit_create(0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++)
            pieces[i] = bmm_jit_get(heap, 1000);
        check_valid(heap);
        PLAIN_CHECK(heap->shared_bytes >= COUNT * (size_t)1000 && heap->spare == NULL);
        for (int i = 0; i < COUNT; i++)
            PLAIN_CHECK(bmm_jit_free(heap, pieces[round == 1 ? COUNT - 1 - i : i]));
        check_valid(heap);
        PLAIN_CHECK_EQUAL(heap->shared_bytes, BMM__GRANULE);
        PLAIN_CHECK(heap->spare != NULL);
    }
    bmm_jit_destroy(heap);
}

PLAIN_TEST(random_operations_keep_the_invariants)
{
    enum { COUNT = 300 };
    static void *pieces[COUNT];
    uint64_t random = 2463534242u;
    struct bmm_jit_heap *heap = bmm_jit_create(BMM_JIT_DUAL_VIEWS);
    for (int step = 0; step < 2000; step++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        void **piece = &pieces[random % COUNT];
        size_t most = random >> 61 == 0 ? 100000 : random >> 62 == 1 ? 40 : 6000;
        PLAIN_CHECK(*piece == NULL || bmm_jit_free(heap, *piece));
        *piece = random >> 60 == 15 ? NULL : bmm_jit_get(heap, (random >> 20) % most);
        if (step % 20 == 0)
            check_valid(heap);
    }
    bmm_jit_destroy(heap);
}

/* ---- finders beside ---- */

enum { THREADS = 3, LONG_LIVED = 50 };
static struct bmm_jit_heap *heap_of_threads;
static char *long_lived[LONG_LIVED], *long_lived_code[LONG_LIVED];
static size_t long_lived_bytes[LONG_LIVED];
static uint32_t stop;

/* Around those that stay: their neighbours come and go, and whole regions. */
static void *churn(void *seed)
{
    uintptr_t random = (uintptr_t)seed;
    void *pieces[40] = { NULL };
    while (bmm__load_relaxed(&stop) == 0) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        void **piece = &pieces[(random >> 33) % 40];
        if (*piece != NULL)
            bmm_jit_sync_free(heap_of_threads, *piece);
        *piece = bmm_jit_sync_get(heap_of_threads, (random >> 40) % (random >> 60 == 0 ? 90000 : 300) + 1);
    }
    return NULL;
}

static bool is_as_found(const char *start, size_t bytes, unsigned rights, size_t offset)
{
    struct bmm__jit_view view;
    return bmm__jit_find((uintptr_t)start + offset, &view) && view.start == (uintptr_t)start && view.bytes == bytes &&
           view.rights == rights;
}

PLAIN_TEST(what_lives_is_found_while_others_come_and_go)
{
    pthread_t threads[THREADS];
    uint64_t wrong = 0, outside = 0;
    heap_of_threads = bmm_jit_create(BMM_JIT_DUAL_VIEWS);
    for (int i = 0; i < LONG_LIVED; i++) {
        long_lived_bytes[i] = i % 10 == 9 ? 30000 : 1 + (size_t)i * 5;
        long_lived[i] = bmm_jit_get(heap_of_threads, long_lived_bytes[i]);
        long_lived_code[i] = bmm_jit_code(heap_of_threads, long_lived[i]);
        bmm_jit_get(heap_of_threads, 100);
    }
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(i + 1)); /* NOLINT */
    for (int round = 0; round < 20000; round++) {
        int i = round % LONG_LIVED;
        size_t bytes = long_lived_bytes[i], offset = (size_t)round * 7919 % bytes;
        wrong += !is_as_found(long_lived[i], bytes, BMM__OS_READ | BMM__OS_WRITE, offset);
        wrong += !is_as_found(long_lived_code[i], bytes, BMM__OS_READ | BMM__OS_EXECUTE, offset);
        uintptr_t any = (uintptr_t)long_lived[i] + (size_t)round * 48271 % 400000;
        struct bmm__jit_view view;
        if (bmm__jit_find(any, &view))
            outside += any - view.start >= view.bytes || view.bytes > 90001 || view.start % 16 != 0;
    }
    bmm__store_relaxed(&stop, 1u);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    PLAIN_CHECK_EQUAL(wrong, 0);
    PLAIN_CHECK_EQUAL(outside, 0);
    check_valid(heap_of_threads);
    bmm_jit_destroy(heap_of_threads);
}
