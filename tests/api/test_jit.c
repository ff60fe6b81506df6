/* JIT heaps: code is written and runs, with one view and with two; little memory for little code; and what must not be. */
#define _GNU_SOURCE
#include "tests/facts.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define MIB ((size_t)1 << 20)

/* ---- code ---- */

typedef int (*function)(void);

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#define RETURN_BYTES 6
#define JUMP_BYTES 12

/* A function that returns value, less than 65536. */
static void write_return(void *to, unsigned value)
{
    unsigned char code[RETURN_BYTES] = { 0xb8, (unsigned char)value, (unsigned char)(value >> 8), 0, 0, 0xc3 };
    memcpy(to, code, sizeof code);
}

/* One that goes on at another. */
static void write_jump(void *to, const void *target)
{
    static const unsigned char load[2] = { 0x48, 0xb8 }, jump[2] = { 0xff, 0xe0 };
    memcpy(to, load, 2);
    memcpy((char *)to + 2, &target, 8);
    memcpy((char *)to + 10, jump, 2);
}
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#define RETURN_BYTES 8
#define JUMP_BYTES 16

static void write_return(void *to, unsigned value)
{
    uint32_t code[2] = { 0x52800000 | value << 5, 0xd65f03c0 };
    memcpy(to, code, sizeof code);
}

static void write_jump(void *to, const void *target)
{
    static const uint32_t code[2] = { 0x58000050, 0xd61f0200 }; /* ldr x16, .+8; br x16 */
    memcpy(to, code, 8);
    memcpy((char *)to + 8, &target, 8);
}
#else
#error "code for this machine is wanted"
#endif

/* Through memory: C has no cast from objects to functions. */
static int call(const void *code)
{
    function run;
    memcpy(&run, &code, sizeof run);
    return run();
}

static void publish_return(struct bmm_jit_heap *heap, void *piece, unsigned value)
{
    write_return(piece, value);
    PLAIN_CHECK(bmm_jit_publish(heap, piece, RETURN_BYTES));
}

/* qemu 7 does not see that what it translated was written to through another view. */
static bool sees_what_changes(const struct bmm_jit_heap *heap)
{
#ifdef BMM_EMULATED
    return !bmm_jit_has_dual_views(heap);
#endif
    (void)heap;
    return true;
}

/* ---- what the system knows ---- */

static bool read_map(FILE *maps, uintptr_t *start, uintptr_t *end, char rights[5])
{
    char line[512];
    unsigned long from = 0, to = 0;
    while (fgets(line, sizeof line, maps) != NULL)
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3) {
            *start = from;
            *end = to;
            return true;
        }
    return false;
}

/* Such as "rwxp"; "": nothing is mapped there. */
static const char *rights_at(const void *address)
{
    static char found[5];
    char rights[5];
    uintptr_t start, end;
    FILE *maps = fopen("/proc/self/maps", "r");
    found[0] = '\0';
    while (maps != NULL && read_map(maps, &start, &end, rights))
        if ((uintptr_t)address >= start && (uintptr_t)address < end && strcmp(rights, "---p") != 0)
            memcpy(found, rights, sizeof found);
    fclose(maps);
    return found;
}

static size_t executable_bytes(void)
{
    char rights[5];
    uintptr_t start, end;
    size_t bytes = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && read_map(maps, &start, &end, rights))
        bytes += rights[2] == 'x' ? end - start : 0;
    fclose(maps);
    return bytes;
}

struct size {
    size_t mapped, resident;
};

static struct size size_now(void)
{
    unsigned long mapped = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    PLAIN_CHECK(file != NULL && fscanf(file, "%lu %lu", &mapped, &resident) == 2);
    fclose(file);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (struct size){ mapped * page, resident * page };
}

/* ---- every case with one view and with two ---- */

#define EITHER(title) \
    static void either_##title(unsigned flags); \
    PLAIN_TEST(title) \
    { \
        either_##title(0); \
    } \
    PLAIN_TEST(title##_with_dual_views) \
    { \
        either_##title(BMM_JIT_DUAL_VIEWS); \
    } \
    static void either_##title(unsigned flags)

EITHER(code_runs)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    PLAIN_CHECK(heap != NULL && (flags == 0 || bmm_jit_has_dual_views(heap)));
    errno = 77;
    char *piece = bmm_jit_get(heap, 64), *code = bmm_jit_code(heap, piece);
    PLAIN_CHECK(piece != NULL && code != NULL && (uintptr_t)piece % 16 == 0 && (uintptr_t)code % 16 == 0);
    PLAIN_CHECK(bmm_jit_has_dual_views(heap) == (code != piece) && errno == 77);
    publish_return(heap, piece, 42);
    PLAIN_CHECK_EQUAL(call(code), 42);
    if (sees_what_changes(heap)) {
        publish_return(heap, piece, 43);
        PLAIN_CHECK_EQUAL(call(code), 43);
    }
    publish_return(heap, piece + 32, 44);
    PLAIN_CHECK(bmm_jit_code(heap, piece + 32) == code + 32 && bmm_jit_data(heap, code + 32) == piece + 32);
    PLAIN_CHECK_EQUAL(call(code + 32), 44);
    PLAIN_CHECK(bmm_jit_code(heap, code + 63) == code + 63 && bmm_jit_data(heap, piece) == piece);
    PLAIN_CHECK(bmm_jit_free(heap, piece) && errno == 77);
    bmm_jit_destroy(heap);
}

EITHER(code_goes_on_in_another_piece)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    void *last = bmm_jit_get(heap, RETURN_BYTES), *first = bmm_jit_get(heap, JUMP_BYTES),
         *far = bmm_jit_get(heap, 3 * MIB);
    publish_return(heap, last, 4711);
    write_jump(far, bmm_jit_code(heap, last));
    PLAIN_CHECK(bmm_jit_publish(heap, far, JUMP_BYTES));
    write_jump(first, bmm_jit_code(heap, far));
    PLAIN_CHECK(bmm_jit_publish(heap, first, JUMP_BYTES));
    PLAIN_CHECK_EQUAL(call(bmm_jit_code(heap, first)), 4711);
    bmm_jit_destroy(heap);
}

EITHER(memory_has_the_rights_it_needs_and_no_more)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    static const size_t sizes[] = { 16, 3 * MIB };
    for (size_t i = 0; i < 2; i++) {
        char *piece = bmm_jit_get(heap, sizes[i]), *code = bmm_jit_code(heap, piece);
        if (bmm_jit_has_dual_views(heap)) {
            PLAIN_CHECK(strcmp(rights_at(piece), "rw-s") == 0 && strcmp(rights_at(code), "r-xs") == 0);
        } else {
            PLAIN_CHECK(strcmp(rights_at(piece), "rwxp") == 0);
        }
    }
    bmm_jit_destroy(heap);
}

EITHER(small_pieces_take_little_memory)
{
    enum { COUNT = 10000 };
    static char *pieces[COUNT];
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    struct size before = size_now();
    for (unsigned i = 0; i < COUNT; i++) {
        pieces[i] = bmm_jit_get(heap, 16);
        PLAIN_CHECK(pieces[i] != NULL && (uintptr_t)pieces[i] % 16 == 0);
        write_return(pieces[i], i);
    }
    struct size after = size_now();
    printf("  %zu KiB mapped, %zu KiB resident\n", (after.mapped - before.mapped) >> 10,
           (after.resident - before.resident) >> 10);
    PLAIN_CHECK(after.mapped < before.mapped + 2 * MIB && after.resident < before.resident + MIB);
    for (unsigned i = 0; i < COUNT; i++) {
        PLAIN_CHECK(bmm_jit_publish(heap, pieces[i], RETURN_BYTES));
        PLAIN_CHECK_EQUAL(call(bmm_jit_code(heap, pieces[i])), i);
    }
    for (unsigned i = 0; i < COUNT; i++)
        PLAIN_CHECK(bmm_jit_free(heap, pieces[i]));
#ifndef BMM_EMULATED /* which keeps what it translated */
    PLAIN_CHECK(size_now().mapped < before.mapped + 512 * 1024);
#endif
    bmm_jit_destroy(heap);
}

/* The places of pieces that ended are used again: the heap does not grow. */
EITHER(places_are_used_again)
{
    enum { COUNT = 500 };
    static char *pieces[COUNT];
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    for (int i = 0; i < COUNT; i++)
        pieces[i] = bmm_jit_get(heap, 1000);
    struct size before = size_now();
    for (int i = 0; i < 20000; i++) {
        int which = i * 7 % COUNT;
        PLAIN_CHECK(bmm_jit_free(heap, pieces[which]));
        pieces[which] = bmm_jit_get(heap, 1000 - (size_t)(i % 900));
    }
    PLAIN_CHECK(size_now().mapped <= before.mapped + MIB);
    bmm_jit_destroy(heap);
}

static bool is_refused(struct bmm_jit_heap *heap, const void *p)
{
    errno = 0;
    return !bmm_jit_free(heap, (void *)(uintptr_t)p) && errno == EINVAL; /* NOLINT */
}

/* Whether a piece of the heap, which is written at start, begins there, in either view. */
static bool is_start(struct bmm_jit_heap *heap, const void *start, const void *p)
{
    return p == start || p == bmm_jit_code(heap, start);
}

EITHER(wrong_pointers_are_refused_and_nothing_is_lost)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags), *other = bmm_jit_create(flags);
    char *small = bmm_jit_get(heap, 100), *neighbour = bmm_jit_get(heap, 16), *large = bmm_jit_get(heap, 100000),
         *others = bmm_jit_get(other, 100), *others_large = bmm_jit_get(other, 100000), *block = malloc(100);
    publish_return(heap, small, 1);
    publish_return(heap, neighbour, 2);
    publish_return(heap, large, 3);
    const void *wrong[] = { NULL,      small + 16,       small + 1,     small + 99,          small + 96,
                            small - 1, neighbour + 16,   large + 16,    large + 99999,       large + 131072,
                            others,    others_large,     block,         block + 16,          &heap,
                            wrong,     (const void *)-1, (void *)12345, &plain_first,        small + 50000,
                            heap,      small - 16,       large - 16,    (void *)(1ull << 63) };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (is_start(heap, small, wrong[i]) || is_start(heap, neighbour, wrong[i]) || is_start(heap, large, wrong[i]))
            continue; /* regions may lie side by side: beyond the end of one begins another */
        PLAIN_CHECK(is_refused(heap, wrong[i]));
        if (wrong[i] != NULL && bmm_jit_code(heap, wrong[i]) != NULL)
            PLAIN_CHECK(is_refused(heap, bmm_jit_code(heap, wrong[i])));
    }
    PLAIN_CHECK(call(bmm_jit_code(heap, small)) == 1 && call(bmm_jit_code(heap, neighbour)) == 2);
    PLAIN_CHECK_EQUAL(call(bmm_jit_code(heap, large)), 3);
    char *small_code = bmm_jit_code(heap, small), *large_code = bmm_jit_code(heap, large);
    PLAIN_CHECK(bmm_jit_free(heap, small_code) && bmm_jit_free(heap, large_code));
    PLAIN_CHECK(is_refused(heap, small) && is_refused(heap, small_code) && is_refused(heap, large) &&
                is_refused(heap, large_code));
    PLAIN_CHECK(bmm_jit_free(heap, neighbour) && is_refused(heap, neighbour));
    PLAIN_CHECK(bmm_jit_free(other, others) && bmm_jit_free(other, others_large));
    bmm_jit_destroy(other);
    PLAIN_CHECK(is_refused(heap, others));
    bmm_jit_destroy(heap);
    free(block);
}

EITHER(addresses_outside_of_pieces_are_none)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    char *piece = bmm_jit_get(heap, 20), *gone = bmm_jit_get(heap, 20), *large = bmm_jit_get(heap, 70000);
    PLAIN_CHECK(bmm_jit_free(heap, gone));
    const void *wrong[] = { piece + 20, piece + 31, piece - 1, gone, large + 70000, large - 1, NULL, &piece };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        errno = 0;
        PLAIN_CHECK(bmm_jit_code(heap, wrong[i]) == NULL && errno == EINVAL);
        errno = 0;
        PLAIN_CHECK(bmm_jit_data(heap, wrong[i]) == NULL && errno == EINVAL);
        errno = 0;
        PLAIN_CHECK(!bmm_jit_publish(heap, wrong[i], 0) && errno == EINVAL);
    }
    errno = 0;
    PLAIN_CHECK(!bmm_jit_publish(heap, piece, 21) && errno == EINVAL);
    PLAIN_CHECK(!bmm_jit_publish(heap, piece + 19, 2) && !bmm_jit_publish(heap, piece, SIZE_MAX));
    PLAIN_CHECK(bmm_jit_publish(heap, piece + 19, 1) && bmm_jit_publish(heap, bmm_jit_code(heap, piece), 20));
    PLAIN_CHECK(bmm_jit_publish(heap, piece, 0));
    bmm_jit_destroy(heap);
}

EITHER(impossible_requests_fail)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    static const size_t impossible[] = { SIZE_MAX, SIZE_MAX - 65534, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX,
                                         (size_t)1 << 55 };
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        volatile size_t size = impossible[i];
        errno = 0;
        PLAIN_CHECK(bmm_jit_get(heap, size) == NULL && errno == ENOMEM);
    }
    char *nothing = bmm_jit_get(heap, 0);
    PLAIN_CHECK(nothing != NULL && bmm_jit_code(heap, nothing) != NULL && bmm_jit_free(heap, nothing));
    errno = 0;
    PLAIN_CHECK(bmm_jit_create(flags | 2) == NULL && errno == EINVAL);
    bmm_jit_destroy(heap);
    bmm_jit_destroy(NULL);
}

EITHER(clear_makes_a_heap_as_new)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    size_t before = executable_bytes();
    for (int round = 0; round < 3; round++) {
        char *pieces[1000], *codes[1000];
        for (int i = 0; i < 1000; i++) {
            pieces[i] = bmm_jit_get(heap, i % 100 == 0 ? 200000 : (size_t)i + 1);
            codes[i] = bmm_jit_code(heap, pieces[i]);
        }
        PLAIN_CHECK(executable_bytes() > before + 2 * MIB);
        bmm_jit_clear(heap);
        PLAIN_CHECK_EQUAL(executable_bytes(), before);
        for (int i = 0; i < 1000; i += 50) {
            PLAIN_CHECK(rights_at(pieces[i])[0] == '\0' && rights_at(codes[i])[0] == '\0');
            PLAIN_CHECK(is_refused(heap, pieces[i]) && is_refused(heap, codes[i]));
        }
        bmm_jit_clear(heap);
    }
    char *piece = bmm_jit_get(heap, 64);
    publish_return(heap, piece, 5);
    PLAIN_CHECK_EQUAL(call(bmm_jit_code(heap, piece)), 5);
    bmm_jit_destroy(heap);
    PLAIN_CHECK_EQUAL(executable_bytes(), before);
}

EITHER(nothing_else_becomes_executable)
{
    enum { COUNT = 3000 };
    static void *blocks[COUNT];
    size_t before = executable_bytes();
    for (int round = 0; round < 3; round++) {
        struct bmm_jit_heap *heap = bmm_jit_create(flags);
        for (int i = 0; i < COUNT; i++)
            PLAIN_CHECK(bmm_jit_get(heap, (size_t)i * 37 % 70000) != NULL);
        bmm_jit_destroy(heap);
    }
    for (size_t i = 0; i < COUNT; i++)
        memset(blocks[i] = malloc(i * 37 % 70000), 1, i * 37 % 70000);
    PLAIN_CHECK_EQUAL(executable_bytes(), before);
    for (size_t i = 0; i < COUNT; i += 100)
        PLAIN_CHECK(strchr(rights_at(blocks[i]), 'x') == NULL);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
}

/* What is got is written at its end, in pages that nobody else touches. */
EITHER(a_piece_of_a_gibibyte)
{
#ifdef BMM_EMULATED
    PLAIN_SKIP("the emulator keeps a record of each page");
#endif
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    size_t size = ((size_t)1 << 30) + 100;
    struct size before = size_now();
    char *piece = bmm_jit_get(heap, size);
    if (piece == NULL)
        PLAIN_SKIP("the system has no such piece of address space");
    char *code = bmm_jit_code(heap, piece);
    publish_return(heap, piece + size - 32, 1234);
    publish_return(heap, piece, 1235);
    PLAIN_CHECK(call(code + size - 32) == 1234 && call(code) == 1235);
    PLAIN_CHECK(size_now().resident < before.resident + 8 * MIB);
    PLAIN_CHECK(bmm_jit_free(heap, code));
    PLAIN_CHECK(rights_at(piece)[0] == '\0' && rights_at(code + size - 1)[0] == '\0');
    PLAIN_CHECK(size_now().mapped < before.mapped + 8 * MIB);
    bmm_jit_destroy(heap);
}

/* Sizes of all kinds; what was written in a piece is there as long as it lives, in both views, and at no time in another's. */
EITHER(random_pieces_keep_what_they_hold)
{
    enum { COUNT = 600, STEPS = 20000 };
    static struct {
        unsigned char *piece;
        size_t size;
    } all[COUNT];
    uint64_t random = 88172645463325252u;
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    memset(all, 0, sizeof all);
    for (int step = 0; step < STEPS; step++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        size_t which = random % COUNT, size = (random >> 20) % (random >> 60 == 0 ? 200000 : random >> 63 ? 70 : 5000);
        unsigned char mark = (unsigned char)(which * 7 + 1), *piece = all[which].piece;
        if (piece != NULL) {
            const unsigned char *code = bmm_jit_code(heap, piece);
            PLAIN_CHECK(piece[0] == mark && code[0] == mark && code[all[which].size - 1] == mark);
            PLAIN_CHECK(bmm_jit_free(heap, step % 2 == 0 ? piece : bmm_jit_data(heap, code)));
        }
        size += 1;
        piece = bmm_jit_get(heap, size);
        PLAIN_CHECK(piece != NULL && (uintptr_t)piece % 16 == 0);
        memset(piece, mark, size);
        PLAIN_CHECK(bmm_jit_publish(heap, piece, size));
        all[which].piece = piece;
        all[which].size = size;
    }
    bmm_jit_destroy(heap);
}

/* ---- threads ---- */

enum { THREADS = 16 };
static struct bmm_jit_heap *shared_heap;
static void *handed[THREADS][64]; /* got by one thread, ended by the next */

static void *get_and_free(void *number)
{
    uintptr_t me = (uintptr_t)number % THREADS, wrong = 0;
    for (unsigned round = 0; round < 400; round++) {
        void *pieces[8];
        for (unsigned i = 0; i < 8; i++) {
            pieces[i] = bmm_jit_sync_get(shared_heap, 16 + (round * 31 + i * 977) % (i == 0 ? 40000 : 500));
            if (pieces[i] == NULL)
                return (void *)1;
            write_return(pieces[i], (unsigned)(me * 64 + i));
            wrong += !bmm_jit_publish(shared_heap, pieces[i], RETURN_BYTES);
        }
        for (unsigned i = 0; i < 8; i++) {
#ifdef BMM_EMULATED
            wrong += memcmp(pieces[i], bmm_jit_code(shared_heap, pieces[i]), RETURN_BYTES) != 0;
#else
            wrong += call(bmm_jit_code(shared_heap, pieces[i])) != (int)(me * 64 + i);
#endif
            void *other = __atomic_exchange_n(&handed[(me + round) % THREADS][i], pieces[i], __ATOMIC_ACQ_REL);
            wrong += other != NULL && !bmm_jit_sync_free(shared_heap, other);
        }
    }
    return (void *)wrong;
}

static void use_by(unsigned thread_count, unsigned flags)
{
    shared_heap = bmm_jit_create(flags);
    memset(handed, 0, sizeof handed);
    size_t before = executable_bytes();
    PLAIN_CHECK_EQUAL(facts_wrong_by(thread_count, get_and_free), 0);
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < 64; k++)
            PLAIN_CHECK(handed[i][k] == NULL || bmm_jit_sync_free(shared_heap, handed[i][k]));
    PLAIN_CHECK(executable_bytes() <= before + MIB); /* but one region that is kept */
    bmm_jit_destroy(shared_heap);
    PLAIN_CHECK_EQUAL(executable_bytes(), before);
}

EITHER(one_thread_at_a_heap)
{
    use_by(1, flags);
}

EITHER(two_threads_at_one_heap)
{
    use_by(2, flags);
}

EITHER(sixteen_threads_at_one_heap)
{
    use_by(16, flags);
}

/* ---- fork ---- */

static int status_of(pid_t child)
{
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

static int child_goes_its_own_way(struct bmm_jit_heap *heap, char *small, char *large)
{
    if (call(bmm_jit_code(heap, small)) != 10 || call(bmm_jit_code(heap, large)) != 11)
        return 1;
#ifndef BMM_EMULATED
    write_return(small, 20);
    write_return(large, 21);
    if (!bmm_jit_publish(heap, small, RETURN_BYTES) || call(bmm_jit_code(heap, small)) != 20 ||
        call(bmm_jit_code(heap, large)) != 21)
        return 2;
#endif
    if (!bmm_jit_free(heap, small) || !bmm_jit_free(heap, large))
        return 3;
    for (int i = 0; i < 1000; i++) {
        char *piece = bmm_jit_get(heap, (size_t)i * 5 + 1);
        if (piece == NULL)
            return 4;
        memset(piece, 0, (size_t)i * 5 + 1);
    }
    bmm_jit_destroy(heap);
    return 0;
}

EITHER(a_forked_child_has_pieces_of_its_own)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    char *small = bmm_jit_get(heap, 100), *large = bmm_jit_get(heap, 100000);
    publish_return(heap, small, 10);
    publish_return(heap, large, 11);
    PLAIN_CHECK(call(bmm_jit_code(heap, small)) == 10 && call(bmm_jit_code(heap, large)) == 11);
    fflush(NULL);
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(child_goes_its_own_way(heap, small, large));
        PLAIN_CHECK_EQUAL(status_of(child), 0);
        PLAIN_CHECK(call(bmm_jit_code(heap, small)) == 10 && call(bmm_jit_code(heap, large)) == 11);
    }
    /* And what the parent does is nothing to the child. */
    int ends[2];
    PLAIN_CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) != 0 ? 5 : child_goes_its_own_way(heap, small, large));
    }
    memset(small, 0, 100);
    memset(large, 0, 100000);
    bmm_jit_destroy(heap);
    close(ends[1]);
    close(ends[0]);
    PLAIN_CHECK_EQUAL(status_of(child), 0);
}

/* Then what was the parent's can be executed and freed, but what is new lies elsewhere. */
static int child_without_copies(struct bmm_jit_heap *heap, char *small)
{
    if (call(bmm_jit_code(heap, small)) != 10 || strcmp(rights_at(small), "r--s") != 0)
        return 1;
    char *fresh = bmm_jit_get(heap, 16);
    if (fresh == NULL || (uintptr_t)fresh >> 16 == (uintptr_t)small >> 16)
        return 2;
    write_return(fresh, 30);
    if (!bmm_jit_publish(heap, fresh, RETURN_BYTES) || call(bmm_jit_code(heap, fresh)) != 30)
        return 3;
    return !bmm_jit_free(heap, small) || rights_at(small)[0] != '\0' ? 4 : 0;
}

PLAIN_TEST(a_forked_child_without_copies_changes_nothing)
{
    struct bmm_jit_heap *heap = bmm_jit_create(BMM_JIT_DUAL_VIEWS);
    char *small = bmm_jit_get(heap, 100);
    struct rlimit old;
    getrlimit(RLIMIT_NOFILE, &old);
    publish_return(heap, small, 10);
    fflush(NULL);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, old.rlim_max });
    pid_t child = fork();
    setrlimit(RLIMIT_NOFILE, &old);
    if (child == 0)
        _exit(child_without_copies(heap, small));
    PLAIN_CHECK_EQUAL(status_of(child), 0);
    PLAIN_CHECK_EQUAL(call(bmm_jit_code(heap, small)), 10);
    bmm_jit_destroy(heap);
}

static void *get_for_ever(void *stop)
{
    for (unsigned i = 0; !__atomic_load_n((bool *)stop, __ATOMIC_RELAXED); i++) {
        void *piece = bmm_jit_sync_get(shared_heap, 1 + i * 97 % 50000);
        if (piece != NULL)
            bmm_jit_sync_free(shared_heap, piece);
    }
    return NULL;
}

static int child_of_threads(void)
{
    for (unsigned i = 0; i < 100; i++) {
        void *piece = bmm_jit_sync_get(shared_heap, 1 + i * 97 % 50000);
        if (piece == NULL || !bmm_jit_sync_free(shared_heap, piece))
            return 1;
    }
    bmm_jit_destroy(shared_heap);
    return 0;
}

EITHER(fork_while_other_threads_get_pieces)
{
    bool stop = false;
    pthread_t threads[3];
    int status = 0;
    shared_heap = bmm_jit_create(flags);
    fflush(NULL);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, get_for_ever, &stop);
    for (int i = 0; i < 20 && status == 0; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(child_of_threads());
        status = status_of(child);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    PLAIN_CHECK_EQUAL(status, 0);
    bmm_jit_destroy(shared_heap);
}

/* ---- where the system does not allow it ---- */

/* No memory that has all these rights: mmap and mprotect say EACCES. */
static bool refuse(unsigned rights)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 0, 7),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, rights),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rights, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { NOT_TO_BE_HAD = 77 };

static int run_one(struct bmm_jit_heap *heap)
{
    static const size_t sizes[] = { 16, 100000 };
    for (size_t i = 0; i < 2; i++) {
        char *piece = bmm_jit_get(heap, sizes[i]);
        if (piece == NULL)
            return 1;
        write_return(piece, 8);
        if (!bmm_jit_publish(heap, piece, RETURN_BYTES) || call(bmm_jit_code(heap, piece)) != 8)
            return 2;
    }
    return 0;
}

static int live_without(bool (*give_up)(void))
{
    struct bmm_jit_heap *before = bmm_jit_create(0);
    char *piece = bmm_jit_get(before, 40000);
    write_return(piece, 9);
    bool had_one_view = !bmm_jit_has_dual_views(before);
    if (!bmm_jit_publish(before, piece, RETURN_BYTES))
        return 3;
    if (!give_up())
        return NOT_TO_BE_HAD;
    void *both = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (both != MAP_FAILED)
        return NOT_TO_BE_HAD;
    struct bmm_jit_heap *heap = bmm_jit_create(0);
    if (!bmm_jit_has_dual_views(heap) || run_one(heap) != 0)
        return 4;
    if (run_one(before) != 0 || !bmm_jit_has_dual_views(before) || call(bmm_jit_code(before, piece)) != 9)
        return 5;
    if ((piece == bmm_jit_code(before, piece)) != had_one_view || !bmm_jit_free(before, piece))
        return 6;
    bmm_jit_destroy(before);
    bmm_jit_destroy(heap);
    return 0;
}

static void check_without(bool (*give_up)(void), const char *reason)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(live_without(give_up));
    int status = status_of(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_TO_BE_HAD)
        PLAIN_SKIP(reason);
    PLAIN_CHECK_EQUAL(status, 0);
}

static bool refuse_both(void)
{
    return refuse(PROT_WRITE | PROT_EXEC);
}

PLAIN_TEST(two_views_where_seccomp_refuses_one)
{
    check_without(refuse_both, "no seccomp filters here");
}

static bool deny_write_execute(void)
{
    return prctl(65 /* PR_SET_MDWE */, 1, 0, 0, 0) == 0;
}

PLAIN_TEST(two_views_where_the_kernel_denies_one)
{
    check_without(deny_write_execute, "this kernel has no PR_SET_MDWE");
}

static int live_without_any(void)
{
    struct bmm_jit_heap *heap = bmm_jit_create(0);
    if (heap == NULL)
        return 1;
    if (!refuse(PROT_EXEC))
        return NOT_TO_BE_HAD;
    static const size_t sizes[] = { 16, 100000 };
    for (size_t i = 0; i < 2; i++) {
        errno = 0;
        if (bmm_jit_get(heap, sizes[i]) != NULL)
            return NOT_TO_BE_HAD;
        if (errno != EACCES)
            return 2;
    }
    struct bmm_jit_heap *other = bmm_jit_create(BMM_JIT_DUAL_VIEWS);
    errno = 0;
    if (other == NULL || bmm_jit_get(other, 1) != NULL || errno != EACCES)
        return 3;
    bmm_jit_destroy(heap);
    bmm_jit_destroy(other);
    return 0;
}

PLAIN_TEST(no_code_where_the_system_allows_none)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(live_without_any());
    int status = status_of(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_TO_BE_HAD)
        PLAIN_SKIP("no seccomp filters here");
    PLAIN_CHECK_EQUAL(status, 0);
}

/* ---- pieces are no blocks ---- */

static void *victim;

static void free_it(void)
{
    free(victim);
}

static void realloc_it(void)
{
    victim = realloc(victim, 10000);
}

static void check_stopped(void (*body)(void))
{
    int status = plain_status_in_child(body);
    PLAIN_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

EITHER(free_refuses_pieces)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    static const size_t sizes[] = { 100, 100000, 40 * MIB };
    for (size_t i = 0; i < 3; i++) {
        char *piece = bmm_jit_get(heap, sizes[i]), *code = bmm_jit_code(heap, piece);
        PLAIN_CHECK(bmm_usable_size(piece) == 0 && malloc_usable_size(code) == 0);
        char *wrong[] = { piece, code, piece + 16 };
        for (size_t k = 0; k < 3; k++) {
            victim = wrong[k];
            check_stopped(free_it);
            check_stopped(realloc_it);
        }
    }
    bmm_jit_destroy(heap);
}
