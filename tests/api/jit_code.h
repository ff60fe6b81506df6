/* For tests of JIT heaps: code to write, what the system knows of the process's memory, and cases for one view and for two. */
#ifndef BMM_TESTS_JIT_CODE_H
#define BMM_TESTS_JIT_CODE_H

#include "tests/facts.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>

#define MIB ((size_t)1 << 20)

/* ---- code ---- */

typedef int (*function)(void);

#if defined(__x86_64__)
#define RETURN_BYTES 6
#define JUMP_BYTES 12

/* A function that returns value, less than 65536. */
static inline void write_return(void *to, unsigned value)
{
    unsigned char code[RETURN_BYTES] = { 0xb8, (unsigned char)value, (unsigned char)(value >> 8), 0, 0, 0xc3 };
    memcpy(to, code, sizeof code);
}

/* One that goes on at another. */
static inline void write_jump(void *to, const void *target)
{
    static const unsigned char load[2] = { 0x48, 0xb8 }, jump[2] = { 0xff, 0xe0 };
    memcpy(to, load, 2);
    memcpy((char *)to + 2, &target, 8);
    memcpy((char *)to + 10, jump, 2);
}
#elif defined(__aarch64__)
#define RETURN_BYTES 8
#define JUMP_BYTES 16

static inline void write_return(void *to, unsigned value)
{
    uint32_t code[2] = { 0x52800000 | value << 5, 0xd65f03c0 };
    memcpy(to, code, sizeof code);
}

static inline void write_jump(void *to, const void *target)
{
    static const uint32_t code[2] = { 0x58000050, 0xd61f0200 }; /* ldr x16, .+8; br x16 */
    memcpy(to, code, 8);
    memcpy((char *)to + 8, &target, 8);
}
#else
#error "code for this machine is wanted"
#endif

/* Through memory: C has no cast from objects to functions. */
static inline int call(const void *code)
{
    function run;
    memcpy(&run, &code, sizeof run);
    return run();
}

static inline void publish_return(struct bmm_jit_heap *heap, void *piece, unsigned value)
{
    write_return(piece, value);
    PLAIN_CHECK(bmm_jit_publish(heap, piece, RETURN_BYTES));
}

/* qemu 7 does not see that what it translated was written to through another view. */
static inline bool sees_what_changes(const struct bmm_jit_heap *heap)
{
#ifdef BMM_EMULATED
    return !bmm_jit_has_dual_views(heap);
#endif
    (void)heap;
    return true;
}

/* ---- what the system knows ---- */

static inline bool read_map(FILE *maps, uintptr_t *start, uintptr_t *end, char rights[5])
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
static inline const char *rights_at(const void *address)
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

static inline size_t executable_bytes(void)
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

static inline struct size size_now(void)
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

static inline bool is_refused(struct bmm_jit_heap *heap, const void *p)
{
    errno = 0;
    return !bmm_jit_free(heap, (void *)(uintptr_t)p) && errno == EINVAL; /* NOLINT */
}

static inline int status_of(pid_t child)
{
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

#endif
