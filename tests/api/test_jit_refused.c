/* JIT heaps: what must not be, what the system does not allow, and pieces that are given to free. */
#define _GNU_SOURCE
#include "tests/api/jit_code.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifdef __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* ---- wrong pointers and sizes ---- */

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
