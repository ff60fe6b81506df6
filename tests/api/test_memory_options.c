/* What a pointer is: every kind of live block, and everything that is none. */
#define _GNU_SOURCE
#include "tests/facts.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define USUAL (BMM_RIGHT_READ | BMM_RIGHT_WRITE)

static uint32_t own_thread(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

static bool is_nothing(const void *p)
{
    struct bmm_memory_options options;
    memset(&options, 0xee, sizeof options);
    bool is_found = bmm_memory_options(p, &options);
    return !is_found && *(unsigned char *)&options == 0xee; /* and untouched */
}

static void check(const char *p, size_t size, size_t align, enum bmm_memory_kind kind)
{
    const size_t offsets[] = { 0, size / 3, size / 2, size - 1 };
    for (size_t i = 0; i < 4; i++) {
        struct bmm_memory_options options;
        PLAIN_CHECK(bmm_memory_options(p + offsets[i], &options));
        PLAIN_CHECK(options.start == p && options.exact && options.rights == USUAL);
        PLAIN_CHECK_EQUAL(options.size, facts_is_recorded() ? size : bmm_usable_size(p));
        PLAIN_CHECK(options.block_size >= size && options.size <= options.block_size);
        PLAIN_CHECK_EQUAL(options.align, align);
        if (!facts_is_checked()) /* with which a block may be of another kind */
            PLAIN_CHECK_EQUAL(options.kind, kind);
        if (options.kind <= BMM_MEMORY_MEDIUM)
            PLAIN_CHECK_EQUAL(options.thread_id, own_thread());
        else
            PLAIN_CHECK_EQUAL(options.thread_id, 0);
    }
    struct bmm_memory_options options;
    if (facts_is_recorded())
        PLAIN_CHECK(is_nothing(p + size) || (bmm_memory_options(p + size, &options) && options.start == p + size));
    if (facts_is_checked())
        PLAIN_CHECK(is_nothing(p + size) && is_nothing(p - 1));
}

PLAIN_TEST(every_kind_of_block)
{
    static const struct {
        size_t size;
        enum bmm_memory_kind kind;
    } blocks[] = {
        { 1, BMM_MEMORY_SMALL },      { 16, BMM_MEMORY_SMALL },       { 128, BMM_MEMORY_SMALL },
        { 129, BMM_MEMORY_MEDIUM },   { 5000, BMM_MEMORY_MEDIUM },    { 32768, BMM_MEMORY_MEDIUM },
        { 32769, BMM_MEMORY_BIG },    { 1 << 20, BMM_MEMORY_BIG },    { (1 << 20) + 1, BMM_MEMORY_BIG },
        { 32 << 20, BMM_MEMORY_BIG }, { 65 << 20, BMM_MEMORY_LARGE }, { (size_t)1 << 30, BMM_MEMORY_LARGE }
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        char *p = bmm_malloc(blocks[i].size);
        PLAIN_CHECK(p != NULL);
        check(p, blocks[i].size, 16, blocks[i].kind);
        bmm_free(p);
    }
}

PLAIN_TEST(alignment_is_what_was_asked_for)
{
    for (size_t align = 16; align <= (size_t)64 << 20; align *= 2)
        for (size_t size = 1; size <= 100000; size = size * 40 + 7) {
            char *p = bmm_malloc_aligned(align, size);
            struct bmm_memory_options options;
            PLAIN_CHECK(p != NULL && (uintptr_t)p % align == 0 && bmm_memory_options(p, &options));
            PLAIN_CHECK_EQUAL(options.align, align);
            PLAIN_CHECK(options.start == p);
            bmm_free(p);
        }
}

PLAIN_TEST(pages_and_memory_blocks)
{
    static const size_t counts[] = { 1, 3, 300, 20000 };
    for (size_t i = 0; i < 4; i++) {
        char *pages = bmm_pages_get(counts[i]);
        check(pages, counts[i] * BMM_PAGE_BYTES, (size_t)sysconf(_SC_PAGESIZE), BMM_MEMORY_PAGES);
        PLAIN_CHECK(bmm_pages_protect(pages, 1, BMM_RIGHT_NONE)); /* it is not touched */
        struct bmm_memory_options options;
        PLAIN_CHECK(bmm_memory_options(pages + 5, &options) && options.rights == BMM_RIGHT_NONE);
        bmm_pages_free(pages);
    }
    for (size_t size = BMM_MEMORY_BLOCK_BYTES_MIN; size <= BMM_MEMORY_BLOCK_BYTES_MAX; size *= 4) {
        char *block = bmm_memory_block_get(size);
        check(block, size, size, BMM_MEMORY_BLOCK);
        bmm_memory_block_free(block);
    }
}

PLAIN_TEST(pieces_of_code)
{
    for (unsigned flags = 0; flags <= BMM_JIT_DUAL_VIEWS; flags++) {
        struct bmm_jit_heap *heap = bmm_jit_create(flags);
        static const size_t sizes[] = { 1, 16, 100, 5000, 100000 };
        for (size_t i = 0; heap != NULL && i < 5; i++) {
            char *piece = bmm_jit_get(heap, sizes[i]);
            if (piece == NULL) /* refused */
                continue;
            const char *code = bmm_jit_code(heap, piece), *views[] = { piece, code };
            for (unsigned view = 0; view < 2; view++) {
                struct bmm_memory_options options;
                PLAIN_CHECK(bmm_memory_options(views[view] + sizes[i] / 2, &options) && options.exact);
                PLAIN_CHECK(options.start == views[view] && options.kind == BMM_MEMORY_JIT);
                PLAIN_CHECK_EQUAL(options.size, sizes[i]);
                unsigned right = view == 0 ? BMM_RIGHT_WRITE : BMM_RIGHT_EXECUTE;
                PLAIN_CHECK((options.rights & right) != 0 && (int)options.rights == bmm_pages_rights(views[view]));
                PLAIN_CHECK(piece == code || (options.rights & (BMM_RIGHT_WRITE | BMM_RIGHT_EXECUTE)) == right);
                PLAIN_CHECK(is_nothing(views[view] + sizes[i]) ||
                            (bmm_memory_options(views[view] + sizes[i], &options) && options.start != views[view]));
            }
            PLAIN_CHECK(bmm_jit_free(heap, piece));
            PLAIN_CHECK(is_nothing(piece) && is_nothing(code));
        }
        bmm_jit_destroy(heap);
    }
}

static int global;

PLAIN_TEST(what_is_no_block_of_ours)
{
    int on_stack = 0;
    char *foreign = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    PLAIN_CHECK(is_nothing(NULL) && is_nothing(&on_stack) && is_nothing(&global) && is_nothing("text"));
    PLAIN_CHECK(is_nothing((const void *)(uintptr_t)is_nothing) && is_nothing(foreign) && is_nothing(foreign + 65536));
    munmap(foreign, 1 << 20);
    PLAIN_CHECK(is_nothing(foreign));
    uint64_t random = 1;
    for (unsigned i = 0; i < 100000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uintptr_t address = (uintptr_t)(random >> i % 64);
        struct bmm_memory_options options;
        if (bmm_memory_options((const void *)address, &options)) /* a hit by chance is a right one */
            PLAIN_CHECK(address - (uintptr_t)options.start < options.block_size);
    }
}

PLAIN_TEST(freed_blocks_are_none)
{
    static const size_t sizes[] = { 1, 16, 100, 1000, 30000, 100000, 3 << 20, 100 << 20 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *blocks[8], *volatile kept;
        for (unsigned k = 0; k < 8; k++)
            blocks[k] = malloc(sizes[i]);
        for (unsigned k = 0; k < 8; k += 2) {
            kept = blocks[k];
            free(blocks[k]);
            PLAIN_CHECK(is_nothing(kept) && is_nothing(kept + sizes[i] / 2));
        }
        for (unsigned k = 1; k < 8; k += 2) {
            struct bmm_memory_options options;
            PLAIN_CHECK(bmm_memory_options(blocks[k], &options) && options.start == blocks[k]);
            free(blocks[k]);
        }
    }
}

PLAIN_TEST(a_neighbour_that_was_never_handed_out_is_none)
{
    /* Each of a size that nobody else uses: what follows it in its span was not used yet, or is free. */
    char *p = malloc(28000);
    struct bmm_memory_options options;
    PLAIN_CHECK(bmm_memory_options(p, &options));
    const char *behind = (char *)options.start + options.block_size;
    PLAIN_CHECK(!bmm_memory_options(behind, &options) || options.start != p);
    free(p);
}

struct shared {
    char *block, *freed;
    uint32_t thread_id;
    bool is_right;
};

static void *ask(void *argument)
{
    struct shared *shared = argument;
    struct bmm_memory_options options;
    shared->is_right = bmm_memory_options(shared->block, &options) && options.start == shared->block &&
                       options.thread_id == shared->thread_id;
    shared->is_right = shared->is_right && (options.exact || !facts_is_recorded());
    shared->is_right = shared->is_right && is_nothing(shared->freed);
    return NULL;
}

PLAIN_TEST(another_thread_may_ask)
{
    struct shared shared = { .block = malloc(100), .freed = malloc(100), .thread_id = own_thread() };
    char *volatile freed = shared.freed;
    free(shared.freed);
    shared.freed = freed;
    pthread_t thread;
    pthread_create(&thread, NULL, ask, &shared);
    pthread_join(thread, NULL);
    PLAIN_CHECK(shared.is_right);
    free(shared.block);
}

static void *allocate(void *argument)
{
    struct shared *shared = argument;
    shared->block = malloc(100);
    shared->thread_id = own_thread();
    return NULL;
}

PLAIN_TEST(a_block_outlives_its_thread)
{
    struct shared shared;
    struct bmm_memory_options options;
    pthread_t thread;
    pthread_create(&thread, NULL, allocate, &shared);
    pthread_join(thread, NULL);
    PLAIN_CHECK(bmm_memory_options(shared.block, &options) && options.start == shared.block);
    PLAIN_CHECK(options.thread_id != shared.thread_id);
    free(shared.block);
}

PLAIN_TEST(a_forked_child_has_another_thread)
{
    char *p = malloc(100);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct bmm_memory_options options;
        _exit(bmm_memory_options(p, &options) && options.thread_id == own_thread() ? 0 : 1);
    }
    int status;
    PLAIN_CHECK(waitpid(child, &status, 0) == child && status == 0);
    free(p);
}

/* Of the caller's blocks, by address, each fourth stays, and the others are freed by one thread or three. */
enum { HANDED_COUNT = 8000, FREERS = 3 };
static int freer_count;
static char *handed[HANDED_COUNT];
static int freed_count[FREERS]; /* release: of the blocks up to there, what the thread is to free is free */

/* Who frees the block; FREERS: nobody. */
static int freer_of(int i)
{
    return i % (FREERS + 1) == FREERS ? FREERS : i % (FREERS + 1) % freer_count;
}

static int by_address(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return (*left > *right) - (*left < *right);
}

static void *free_handed(void *number)
{
    int me = (int)(uintptr_t)number - 1;
    for (int i = 0; i < HANDED_COUNT; i++) {
        if (freer_of(i) == me)
            free(handed[i]);
        __atomic_store_n(&freed_count[me], i + 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

struct asked {
    int freed[FREERS]; /* when it began */
    unsigned wrong, exact_count, live_count;
};

static bool is_freed(const struct asked *asked, int i)
{
    return freer_of(i) != FREERS && i < asked->freed[freer_of(i)];
}

static void ask_of(struct asked *asked, int i)
{
    struct bmm_memory_options options;
    bool is_found = bmm_memory_options(handed[i], &options);
    if (is_freed(asked, i))
        asked->wrong += is_found && options.start == handed[i] && options.exact;
    if (freer_of(i) != FREERS)
        return;
    asked->wrong += !is_found || options.start != handed[i];
    asked->live_count++;
    asked->exact_count += is_found && options.exact;
}

static bool ask_in_walk(const struct bmm_memory_options *block, void *context)
{
    struct asked *asked = context;
    const char *start = block->start;
    char **found = bsearch(&start, handed, HANDED_COUNT, sizeof *handed, by_address);
    asked->wrong += found != NULL && block->exact && is_freed(asked, (int)(found - handed));
    return true;
}

PLAIN_TEST(exact_is_exact_while_other_threads_free)
{
    struct asked asked = { .wrong = 0 };
    for (unsigned round = 0; round < 400; round++) {
        freer_count = round % 10 == 0 ? FREERS : 1;
        pthread_t threads[FREERS];
        for (int i = 0; i < HANDED_COUNT; i++)
            handed[i] = malloc(64);
        qsort(handed, HANDED_COUNT, sizeof *handed, by_address);
        memset(freed_count, 0, sizeof freed_count);
        for (int i = 0; i < freer_count; i++)
            pthread_create(&threads[i], NULL, free_handed, (void *)(uintptr_t)(i + 1)); /* NOLINT */
        int least;
        do {
            least = HANDED_COUNT;
            for (int i = 0; i < freer_count; i++) {
                asked.freed[i] = __atomic_load_n(&freed_count[i], __ATOMIC_ACQUIRE);
                least = asked.freed[i] < least ? asked.freed[i] : least;
            }
            for (int k = 0; k < freer_count; k++) /* where each is at */
                for (int i = asked.freed[k] - 12; i < asked.freed[k] + 12; i++)
                    if (i >= 0 && i < HANDED_COUNT)
                        ask_of(&asked, i);
            if (freer_count == FREERS)
                bmm_heap_walk(ask_in_walk, &asked);
        } while (least < HANDED_COUNT);
        for (int i = 0; i < freer_count; i++)
            pthread_join(threads[i], NULL);
        for (int i = FREERS; i < HANDED_COUNT; i += FREERS + 1)
            free(handed[i]);
    }
    PLAIN_CHECK_EQUAL(asked.wrong, 0);
    PLAIN_CHECK(asked.exact_count >= asked.live_count / 10 * 9);
}

static unsigned char is_over;

static void *allocate_all_the_time(void *seed)
{
    uint64_t random = (uintptr_t)seed;
    void *blocks[64] = { NULL };
    while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned k = (unsigned)(random >> 40) % 64;
        free(blocks[k]);
        blocks[k] = malloc((random >> 50) % (k == 0 ? 3 << 20 : 3000) + 1);
    }
    for (unsigned k = 0; k < 64; k++)
        free(blocks[k]);
    return NULL;
}

static void ask_while_others_allocate(unsigned thread_count)
{
    pthread_t threads[16];
    is_over = 0;
    for (unsigned i = 0; i < thread_count; i++)
        pthread_create(&threads[i], NULL, allocate_all_the_time, (void *)(uintptr_t)(i + 1)); /* NOLINT */
    char *mine = malloc(100);
    uint64_t random = 5;
    bool is_right = true;
    for (unsigned i = 0; i < 100000 && is_right; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        struct bmm_memory_options options;
        const char *near = mine + (int64_t)((random >> 36) % (16 << 20)) - (8 << 20);
        if (bmm_memory_options(near, &options))
            is_right = (size_t)(near - (char *)options.start) < options.block_size;
        is_right = is_right && bmm_memory_options(mine, &options) && options.start == mine;
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    free(mine);
    PLAIN_CHECK(is_right);
}

PLAIN_TEST(two_threads)
{
    ask_while_others_allocate(1);
}

PLAIN_TEST(sixteen_threads)
{
    ask_while_others_allocate(15);
}
