#include "report/role.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *bmm__base_name(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    return slash != NULL ? slash + 1 : path;
}

/* "libm" stands for libm.so.6 and libm-2.31.so, but not for libmagic.so.1. */
static bool is_library(const char *base, const char *stem)
{
    size_t length = strlen(stem);
    if (strncmp(base, stem, length) != 0)
        return false;
    if (base[length] == '-')
        return base[length + 1] >= '0' && base[length + 1] <= '9' && strstr(base, ".so") != NULL;
    return strncmp(base + length, ".so", 3) == 0;
}

enum bmm__role bmm__role_of_module(const char *path)
{
    static const char *const libc[] = { "libc",          "libpthread",   "libdl",         "librt",
                                        "libm",          "libmvec",      "libresolv",     "libutil",
                                        "libanl",        "libnsl",       "libnss_dns",    "libnss_db",
                                        "libnss_compat", "libnss_files", "libnss_hesiod", "libthread_db" };
    static const char *const runtime[] = { "libstdc++", "libgcc_s", "libc++", "libc++abi", "libunwind", "libsupc++" };
    const char *base = bmm__base_name(path);
    if (base == NULL)
        return BMM_ROLE_PROGRAM;
    if (strncmp(base, "libbrainmm", 10) == 0)
        return BMM_ROLE_ALLOCATOR;
    if (strncmp(base, "ld-linux", 8) == 0 || strncmp(base, "ld-musl", 7) == 0 || strncmp(base, "ld64.so", 7) == 0 ||
        strncmp(base, "ld.so", 5) == 0 || is_library(base, "ld"))
        return BMM_ROLE_LOADER;
    if (strncmp(base, "linux-vdso", 10) == 0 || strncmp(base, "linux-gate", 10) == 0 || strcmp(base, "[vdso]") == 0)
        return BMM_ROLE_LIBC;
    for (size_t i = 0; i < sizeof libc / sizeof *libc; i++)
        if (is_library(base, libc[i]))
            return BMM_ROLE_LIBC;
    for (size_t i = 0; i < sizeof runtime / sizeof *runtime; i++)
        if (is_library(base, runtime[i]))
            return BMM_ROLE_RUNTIME;
    return BMM_ROLE_PROGRAM;
}

/* By strcmp. Those in capitals, and with fpc, are FreePascal's, which call the memory manager. */
static const char *const allocators[] = {
    "FPC_FREEMEM",
    "FPC_GETMEM",
    "SYSTEM.ALLOCMEM",
    "SYSTEM.FREEMEM",
    "SYSTEM.GETMEM",
    "SYSTEM.REALLOCMEM",
    "__libc_calloc",
    "__libc_free",
    "__libc_malloc",
    "__libc_memalign",
    "__libc_realloc",
    "aligned_alloc",
    "calloc",
    "cfree",
    "fpc_AllocMem",
    "fpc_freemem",
    "fpc_getmem",
    "free",
    "free_aligned_sized",
    "free_sized",
    "malloc",
    "memalign",
    "posix_memalign",
    "pvalloc",
    "realloc",
    "reallocarray",
    "valloc",
};

static int by_name(const void *name, const void *entry)
{
    return strcmp(name, *(const char *const *)entry);
}

static bool is_allocator(const struct bmm__frame *frame)
{
    if (frame->role == BMM_ROLE_ALLOCATOR)
        return true;
    const char *name = frame->function, *file = bmm__base_name(frame->file);
    if (file != NULL && strcasecmp(file, "brainmm.pas") == 0)
        return true;
    if (name == NULL)
        return false;
    if (strncmp(name, "bmm_", 4) == 0 || strncmp(name, "BRAINMM.", 8) == 0 || strncmp(name, "operator new", 12) == 0 ||
        strncmp(name, "operator delete", 15) == 0)
        return true;
    return bsearch(name, allocators, sizeof allocators / sizeof *allocators, sizeof *allocators, by_name) != NULL;
}

/* Sources of a standard library that are compiled into programs: GNU's and LLVM's headers, Rust's library as its builders had it and as
 * rustup installs it. */
static bool is_of_standard_library(const char *file)
{
    static const char rustc[] = "/rustc/", crates[] = "/rust/deps/";
    return strstr(file, "include/c++/") != NULL || strstr(file, "/rustlib/src/rust/library/") != NULL ||
           (strncmp(file, rustc, strlen(rustc)) == 0 && strstr(file, "/library/") != NULL) ||
           strncmp(file, crates, strlen(crates)) == 0;
}

enum bmm__part bmm__part_of(const struct bmm__frame *frame)
{
    const char *name = frame->function;
    if (is_allocator(frame))
        return BMM_PART_ALLOCATOR;
    if (frame->file != NULL && is_of_standard_library(frame->file))
        return BMM_PART_TEMPLATE;
    if (name == NULL)
        return BMM_PART_OTHER;
    if (strcmp(name, "_start") == 0 || strcmp(name, "__libc_csu_init") == 0)
        return BMM_PART_START;
    return strcmp(name, "main") == 0 && !bmm__frame_is_system(frame) ? BMM_PART_MAIN : BMM_PART_OTHER;
}

const char *bmm__stack_entry(const struct bmm__stack *stack, uint32_t end)
{
    if (end < stack->count && stack->frames[end]->callee != NULL)
        return stack->frames[end]->callee;
    return stack->frames[end - 1]->export;
}

uint32_t bmm__stack_top(const struct bmm__stack *stack)
{
    uint32_t top = 0;
    while (top < stack->count && stack->frames[top]->part == BMM_PART_ALLOCATOR)
        top++;
    return top;
}

uint32_t bmm__stack_bottom(const struct bmm__stack *stack, uint32_t top)
{
    uint32_t bottom = stack->count;
    for (uint32_t i = stack->count; i > top; i--)
        if (stack->frames[i - 1]->part == BMM_PART_MAIN)
            return i;
    while (bottom > top) {
        const struct bmm__frame *frame = stack->frames[bottom - 1];
        /* BMM_ROLE_RUNTIME: what std::thread puts between libc and the thread's function. */
        if (!bmm__frame_is_system(frame) && frame->role != BMM_ROLE_RUNTIME && frame->part != BMM_PART_START)
            return bottom;
        bottom--;
    }
    return stack->count;
}

uint32_t bmm__stack_site(const struct bmm__stack *stack)
{
    uint32_t top = bmm__stack_top(stack), bottom = bmm__stack_bottom(stack, top), none = stack->count;
    uint32_t in_template = none, without_line = none;
    for (uint32_t i = top; i < bottom; i++) {
        const struct bmm__frame *frame = stack->frames[i];
        if (bmm__frame_is_system(frame))
            continue;
        if (frame->file != NULL && frame->part != BMM_PART_TEMPLATE)
            return i;
        uint32_t *first = frame->file != NULL ? &in_template : &without_line;
        if (*first == none)
            *first = i;
    }
    if (in_template != none)
        return in_template;
    if (without_line != none)
        return without_line;
    return top < stack->count ? top : 0;
}
