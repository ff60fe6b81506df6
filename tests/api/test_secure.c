/* What libbrainmm_secure stops a program for, each in a child: it must say so and abort, every time. ctest: secure */
#include "tests/plain.h"

#include "brainmm/brainmm.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

static const size_t sizes[] = { 1, 16, 17, 32, 48, 64, 80, 96, 112, 128, 1000, 5000, 20000, 32768 };
#define SIZE_COUNT (sizeof sizes / sizeof *sizes)

static size_t size;
static size_t offset;
static int victim;

/* The last line that a child wrote to stderr before it aborted; NULL: it did not abort. */
static const char *last_words(void (*body)(void))
{
    static char line[512];
    int ends[2];
    if (pipe(ends) != 0)
        plain_stop(PLAIN_FAILED, "no pipe");
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        alarm(60); /* one that goes in circles is not stopped */
        body();
        _exit(0);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], line, sizeof line - 1);
    line[length > 0 ? length : 0] = '\0';
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? line : NULL;
}

static void check_stops(void (*body)(void), const char *words)
{
    const char *said = last_words(body);
    if (said == NULL || strstr(said, words) == NULL)
        plain_stop(PLAIN_FAILED, "size %zu, offset %zu: not \"%s\" but: %s", size, offset, words,
                   said == NULL ? "nothing" : said);
}

static void *free_it(void *p)
{
    free(p);
    return NULL;
}

static void free_elsewhere(void *p)
{
    pthread_t thread;
    pthread_create(&thread, NULL, free_it, p);
    pthread_join(thread, NULL);
}

static void nothing_wrong(void)
{
    char *p = malloc(size), *q = malloc(size);
    memset(p, 1, size);
    free(p);
    free_elsewhere(q);
    for (int i = 0; i < 10000; i++) {
        p = malloc(size);
        memset(p, 1, size);
        free(p);
    }
}

static void free_twice(void)
{
    char *p = malloc(size);
    free(p);
    free(p);
}

static void free_twice_with_another_between(void)
{
    char *p = malloc(size), *q = malloc(size);
    free(p);
    free(q);
    free(p);
}

static void free_here_and_elsewhere(void)
{
    char *p = malloc(size);
    free(p);
    free_elsewhere(p);
}

static void free_elsewhere_and_here(void)
{
    char *p = malloc(size);
    free_elsewhere(p);
    free(p);
}

static void realloc_what_is_free(void)
{
    char *p = malloc(size);
    free(p);
    free(realloc(p, size));
}

static void free_inside(void)
{
    char *p = malloc(size);
    free(p + offset);
}

static void free_on_the_stack(void)
{
    volatile uintptr_t here = (uintptr_t)&size;
    char local[64];
    free(here == 0 ? NULL : local + 16);
}

static void take_all_again(void)
{
    for (int i = 0; i < 20000; i++)
        if (malloc(size) == NULL)
            break;
}

static void write_after_free(void)
{
    char *p = malloc(size);
    free(p);
    p[offset] ^= 1;
    take_all_again();
}

/* Together, as one thread's frees of another's blocks travel. */
#define SENT_COUNT 8
static char *sent[SENT_COUNT];

static void *free_sent(void *unused)
{
    for (int i = 0; i < SENT_COUNT; i++)
        free(sent[i]);
    return unused;
}

/* The thread must have a heap, or it sends each block alone. */
static void *begin_and_free_sent(void *unused)
{
    free(malloc(500));
    return free_sent(unused);
}

static void send_by(void *(*body)(void *))
{
    for (int i = 0; i < SENT_COUNT; i++)
        sent[i] = malloc(size);
    pthread_t thread;
    pthread_create(&thread, NULL, body, NULL);
    pthread_join(thread, NULL);
}

static void write_after_free_elsewhere(void)
{
    send_by(begin_and_free_sent);
    sent[victim][offset] ^= 1;
    take_all_again();
}

/* Before the thread that freed it has sent it. */
static void *free_sent_and_write(void *unused)
{
    begin_and_free_sent(unused);
    sent[victim][offset] ^= 1;
    return unused;
}

static void write_after_free_before_it_is_sent(void)
{
    send_by(free_sent_and_write);
    take_all_again();
}

static int compare(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    return (x > y) - (x < y);
}

/* As who wants malloc to hand out a block twice, or an address of his choice: what one free block holds is written to another,
 * so that nothing looks wrong. */
static void copy_between_free_blocks(void)
{
    enum { COUNT = 400 };
    static char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++)
        blocks[i] = malloc(size);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    for (int i = 1; i < COUNT; i++)
        memcpy(blocks[i], blocks[i * 7 % COUNT], size < 16 ? size : 16); /* NOLINT */
    bmm_thread_heap_minimize();
    for (int i = 0; i < COUNT; i++)
        memset(blocks[i] = malloc(size), i, size);
    for (int i = 0; i < COUNT; i++)
        for (size_t k = 0; k < size; k++)
            if (blocks[i][k] != (char)i)
                _exit(1);
    qsort(blocks, COUNT, sizeof *blocks, compare);
    for (int i = 1; i < COUNT; i++)
        if (blocks[i] - blocks[i - 1] < (ptrdiff_t)size)
            _exit(2);
    _exit(0);
}

/* Found while the library looks through its lists, not by malloc. */
static void write_after_free_and_minimize(void)
{
    char *blocks[20];
    for (int i = 0; i < 20; i++)
        blocks[i] = malloc(size);
    for (int i = 0; i < 20; i++)
        free(blocks[i]);
    blocks[5][offset] ^= 1;
    bmm_thread_heap_minimize();
}

/* All but one block of a span are free; that and another thread's, which is freed twice at about the same time, decide
 * whether the span ends. The program must be stopped, or else know nothing but what is right. */
static int wait_before_free[2];
static int ready_count;

static void wait_and_free(int who)
{
    __atomic_add_fetch(&ready_count, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&ready_count, __ATOMIC_ACQUIRE) < 2)
        ;
    for (volatile int i = 0; i < wait_before_free[who]; i++)
        ;
    free(sent[0]);
}

static void *wait_and_free_in_thread(void *unused)
{
    free(malloc(500));
    wait_and_free(1);
    return unused;
}

static void free_twice_at_once(void)
{
    enum { COUNT = 84, IN_SPAN = 24, BYTES = 32768 };
    char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++)
        blocks[i] = malloc(BYTES);
    memset(blocks[1], 7, BYTES);
    sent[0] = blocks[0];
    for (int i = 2; i < IN_SPAN; i++)
        free(blocks[i]);
    pthread_t thread;
    pthread_create(&thread, NULL, wait_and_free_in_thread, NULL);
    wait_and_free(0);
    pthread_join(thread, NULL);
    for (int i = 0; i < 40000; i++)
        memset(malloc(48), 9, 48);
    for (int i = 0; i < BYTES; i++)
        if (blocks[1][i] != 7)
            abort(); /* without a word */
}

/* The block is another's and its owner's at once; then its owner tidies its heap, where it may be twice. */
static void free_twice_at_once_and_minimize(void)
{
    char *beside = malloc(48);
    pthread_t thread;
    sent[0] = malloc(48);
    beside[0] = sent[0][0];
    pthread_create(&thread, NULL, wait_and_free_in_thread, NULL);
    wait_and_free(0);
    pthread_join(thread, NULL);
    bmm_thread_heap_minimize();
    malloc(48);
    malloc(48);
}

/* Forked while another thread allocates and frees: the child is right, whatever the thread was at. */
static void *allocate_for_ever(void *unused)
{
    for (;;) {
        void *volatile p = malloc(48);
        free(p);
    }
    return unused;
}

static void *allocate_some(void *unused)
{
    for (int i = 0; i < 200; i++)
        memset(malloc(48), 1, 48);
    return unused;
}

static void allocate_in_new_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, allocate_some, NULL) != 0)
        _exit(1);
    pthread_join(thread, NULL);
}

static void fork_often(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, allocate_for_ever, NULL);
    for (int i = 0; i < 300; i++) {
        pid_t child = fork();
        if (child == 0) {
            allocate_in_new_thread();
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status != 0)
            _exit(1);
    }
    _exit(0);
}

/* In a process that may have so little address space that there is no window. */
static void fill_and_exit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    size_t bytes = 0;
    while (malloc(64) != NULL)
        bytes += 64;
    _exit(bytes > limit.rlim_cur / 10 * 7 ? 0 : 1); /* tables take a sixth */
}

__attribute__((constructor)) static void fill_if_asked(void)
{
    if (getenv("TEST_SECURE_FILL") != NULL)
        fill_and_exit();
}

static void run_under_limit(void)
{
    setenv("TEST_SECURE_FILL", "1", 1);
    setrlimit(RLIMIT_AS, &(struct rlimit){ offset, offset });
    execl("/proc/self/exe", "test_secure", (char *)NULL);
    _exit(2);
}

/* As who wants malloc to hand out an address of his choice. */
static void overwrite_link(void)
{
    uintptr_t *p = malloc(size < 16 ? 16 : size);
    free(p);
    p[0] = (uintptr_t)&size;
    take_all_again();
}

PLAIN_TEST(a_program_without_errors_is_not_stopped)
{
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        size = sizes[i];
        PLAIN_CHECK(last_words(nothing_wrong) == NULL);
    }
}

PLAIN_TEST(a_double_free_stops_the_program_at_once)
{
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        size = sizes[i];
        check_stops(free_twice, "free already");
        check_stops(free_twice_with_another_between, "free already");
        check_stops(free_here_and_elsewhere, "free already");
        check_stops(free_elsewhere_and_here, "free already");
        check_stops(realloc_what_is_free, "free already");
    }
    for (size = 40000; size < (size_t)100 << 20; size *= 5) {
        check_stops(free_twice, "not the start of an allocated block");
        check_stops(free_here_and_elsewhere, "not the start of an allocated block");
    }
}

PLAIN_TEST(a_free_inside_a_block_stops_the_program)
{
    for (size_t i = 1; i < SIZE_COUNT; i++) {
        size = sizes[i];
        for (offset = 1; offset < size && offset < 200; offset += 5)
            check_stops(free_inside, "not the start of an allocated block");
    }
}

PLAIN_TEST(a_free_of_what_is_no_block_stops_the_program)
{
    check_stops(free_on_the_stack, "not the start of an allocated block");
}

PLAIN_TEST(a_write_after_free_stops_the_program_when_the_memory_is_used_again)
{
    for (size_t i = 1; i < SIZE_COUNT; i++) {
        size = sizes[i];
        for (offset = 0; offset < size && offset < 16; offset += 3) {
            check_stops(write_after_free, "written to after it was freed");
            for (victim = 0; victim < SENT_COUNT; victim += offset == 0 ? 1 : 7) {
                check_stops(write_after_free_elsewhere, "written to after it was freed");
                check_stops(write_after_free_before_it_is_sent, "written to after it was freed");
            }
        }
        check_stops(overwrite_link, "written to after it was freed");
    }
}

/* What names the other blocks of a batch lies in one, as long as they wait for their owner. */
PLAIN_TEST(a_write_over_the_names_of_freed_blocks_stops_the_program)
{
    size = 1000;
    victim = SENT_COUNT - 1;
    for (offset = 0; offset < 4 + 2 * (SENT_COUNT - 1); offset++)
        check_stops(write_after_free_elsewhere, "written to after it was freed");
}

PLAIN_TEST(nothing_that_is_written_to_freed_blocks_decides_what_is_allocated)
{
    for (size_t i = 1; i < SIZE_COUNT; i++) {
        size = sizes[i];
        int status = plain_status_in_child(copy_between_free_blocks);
        PLAIN_CHECK_EQUAL(status, 0);
    }
}

PLAIN_TEST(a_write_after_free_stops_the_program_when_its_heap_is_tidied)
{
    size = 48;
    for (offset = 0; offset < 16; offset++)
        check_stops(write_after_free_and_minimize, "written to after it was freed");
}

/* Two threads free one block of a third at the same instant, while the block's neighbour waits, freed, to be sent by a
 * fourth: then the names that were sent are as many as the blocks, and the span might end though one is missing. The
 * program must be stopped before the memory is another's. is_owner: one of the two is the block's owner. */
enum { IN_SPAN = 512, SPAN_SLOT = 128, CANDIDATES = 4 * IN_SPAN };
static char *in_span[IN_SPAN];
static char *twice, *waiting;
static bool is_owner;
static int at_once, has_waiting, may_end;

static void wait_until(const int *flag)
{
    while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) == 0)
        usleep(20);
}

static void free_twice_now(void)
{
    __atomic_add_fetch(&at_once, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&at_once, __ATOMIC_ACQUIRE) < 2)
        ;
    free(twice);
}

static void *free_twice_in_thread(void *unused)
{
    free(malloc(500));
    free_twice_now();
    return unused;
}

static void *free_neighbour_and_wait(void *unused)
{
    free(malloc(500));
    free(waiting);
    __atomic_store_n(&has_waiting, 1, __ATOMIC_RELEASE);
    wait_until(&may_end);
    return unused;
}

static void *free_rest(void *unused)
{
    free(malloc(500));
    for (int i = 0; i < IN_SPAN; i++)
        if (in_span[i] != twice && in_span[i] != waiting)
            free(in_span[i]);
    return unused;
}

static void fill_span(void)
{
    static char *blocks[CANDIDATES];
    for (int i = 0; i < CANDIDATES; i++)
        blocks[i] = malloc(SPAN_SLOT);
    int count = 0;
    for (int i = 0; i < CANDIDATES; i++)
        if (((uintptr_t)blocks[i] ^ (uintptr_t)blocks[CANDIDATES / 2]) >> 16 == 0)
            in_span[count++] = blocks[i];
    if (count != IN_SPAN)
        _exit(1);
    twice = in_span[100];
    waiting = in_span[7];
}

static void free_twice_beside_what_waits(void)
{
    enum { COUNT = 3000, BYTES = 192 };
    static char *live[COUNT];
    pthread_t one, other, neighbour, rest;
    fill_span();
    pthread_create(&neighbour, NULL, free_neighbour_and_wait, NULL);
    wait_until(&has_waiting);
    pthread_create(&one, NULL, free_twice_in_thread, NULL);
    if (is_owner)
        free_twice_now();
    else
        pthread_create(&other, NULL, free_twice_in_thread, NULL);
    pthread_join(one, NULL);
    if (!is_owner)
        pthread_join(other, NULL);
    pthread_create(&rest, NULL, free_rest, NULL);
    pthread_join(rest, NULL);
    for (int i = 0; i < COUNT; i++)
        memset(live[i] = malloc(BYTES), 7, BYTES);
    __atomic_store_n(&may_end, 1, __ATOMIC_RELEASE);
    pthread_join(neighbour, NULL);
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < BYTES; k++)
            if (live[i][k] != 7)
                _exit(1);
    bmm_thread_heap_minimize();
}

PLAIN_TEST(two_threads_that_free_a_block_at_once_are_found_out_though_a_neighbour_is_missing)
{
    size = SPAN_SLOT;
    for (int i = 0; i < 200; i++) {
        is_owner = i % 2 != 0;
        check_stops(free_twice_beside_what_waits, "free");
    }
}

/* One of the two is held back a little. */
static void check_stops_with_delay(void (*body)(void), int delay)
{
    wait_before_free[0] = delay < 0 ? -delay : 0;
    wait_before_free[1] = delay > 0 ? delay : 0;
    check_stops(body, "free");
}

PLAIN_TEST(two_threads_that_free_a_block_at_once_are_found_out)
{
    for (int i = 0; i < 100; i++) {
        check_stops_with_delay(free_twice_at_once, i % 41 - 20);
    }
}

PLAIN_TEST(a_block_that_its_owner_and_another_free_at_once_is_found_out_when_the_heap_is_tidied)
{
    for (int i = 0; i < 500; i++) {
        check_stops_with_delay(free_twice_at_once_and_minimize, i % 13 - 6);
    }
}

PLAIN_TEST(a_child_of_a_busy_process_is_not_stopped)
{
    int status = plain_status_in_child(fork_often);
    PLAIN_CHECK_EQUAL(status, 0);
}

static void map_beyond_limit(void)
{
    setrlimit(RLIMIT_AS, &(struct rlimit){ (size_t)1 << 28, (size_t)1 << 28 });
    void *place = mmap(NULL, (size_t)1 << 29, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    _exit(place == MAP_FAILED ? 0 : 1);
}

PLAIN_TEST(a_small_address_space_is_for_blocks)
{
    if (plain_status_in_child(map_beyond_limit) != 0)
        PLAIN_SKIP("this system (an emulator) limits no address space");
    for (offset = (size_t)128 << 20; offset <= (size_t)512 << 20; offset *= 4) {
        int status = plain_status_in_child(run_under_limit);
        PLAIN_CHECK_EQUAL(status, 0);
    }
}

static void addresses(void)
{
    uintptr_t before = 0, in_order = 0;
    for (int i = 0; i < 200; i++) {
        uintptr_t p = (uintptr_t)malloc(size);
        in_order += p - before < 2 * size; /* classes have their own sizes */
        before = p;
    }
    _exit(in_order < 50 ? 0 : 1); /* one in eight where they are mixed by eight */
}

/* The distances between the first blocks of a size that nobody used yet, as seen in a forked child. */
static void distances(ptrdiff_t *distance, size_t count)
{
    int ends[2];
    PLAIN_CHECK(pipe(ends) == 0);
    pid_t child = fork();
    PLAIN_CHECK(child >= 0);
    if (child == 0) {
        char *before = malloc(100);
        for (size_t i = 0; i < count; i++) {
            char *p = malloc(100);
            distance[i] = p - before;
            before = p;
        }
        _exit(write(ends[1], distance, count * sizeof *distance) == (ssize_t)(count * sizeof *distance) ? 0 : 1);
    }
    int status;
    PLAIN_CHECK(waitpid(child, &status, 0) == child && status == 0);
    PLAIN_CHECK(read(ends[0], distance, count * sizeof *distance) == (ssize_t)(count * sizeof *distance));
    close(ends[0]);
    close(ends[1]);
}

PLAIN_TEST(children_do_not_share_their_order)
{
    ptrdiff_t one[500], other[500];
    distances(one, 500);
    distances(other, 500);
    PLAIN_CHECK(memcmp(one, other, sizeof one) != 0);
}

PLAIN_TEST(blocks_come_in_no_order)
{
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        size = sizes[i] < 16 ? 16 : sizes[i];
        int status = plain_status_in_child(addresses);
        PLAIN_CHECK_EQUAL(status, 0);
    }
}
