/* Captures in real programs against libunwind's unw_step, frame by frame: preloaded, at each allocation of a program (at most
 * STACK_AUDIT_MOST in a process, spread over threads as they come) it takes the stack both ways.
 *
 *     LD_PRELOAD=stack_audit.so STACK_AUDIT_DIRECTORY=… program
 *
 * When the process ends it appends a line to DIRECTORY/result: "<captures> <differing> <cut> <frames> <program>", and stacks that
 * differ to DIRECTORY/differing. frames: of all captures together, so that who asks can see that there were some to compare. cut: ours was not whole, and equal as far as it goes; asked of it is that it ends at code without
 * unwind tables, which libunwind passes by guessing at frame pointers.
 * Has its own copy of the stack engine; what the program allocates comes from libc. */
#define _GNU_SOURCE
#include "tests/unit/debug/stack_oracle.h"

#include "debug/dl.h"
#include "debug/module.h"
#include "debug/options.h"
#include "debug/stack_cfi.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __GLIBC__
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
#else /* dlsym allocates nothing there */
#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, #name))
#define __libc_malloc NEXT(void *(*)(size_t), malloc)
#define __libc_calloc NEXT(void *(*)(size_t, size_t), calloc)
#define __libc_realloc NEXT(void *(*)(void *, size_t), realloc)

/* Debian's libgcc asks nobody else. */
struct find_object {
    unsigned long long flags;
    void *start, *end, *link_map, *unwind_header;
    unsigned long long reserved[7];
};
struct find_search {
    uintptr_t pc;
    struct find_object *found;
};

static int find_in(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct find_search *search = context;
    void *header = NULL;
    bool is_here = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_GNU_EH_FRAME)
            header = (void *)start;
        if (segment->p_type == PT_LOAD && search->pc - start < segment->p_memsz) {
            is_here = true;
            search->found->start = (void *)start;
            search->found->end = (void *)(start + segment->p_memsz);
        }
    }
    search->found->unwind_header = header;
    return is_here && header != NULL;
}

int _dl_find_object(void *pc, struct find_object *found);
int _dl_find_object(void *pc, struct find_object *found)
{
    struct find_search search = { (uintptr_t)pc, found };
    memset(found, 0, sizeof *found);
    return dl_iterate_phdr(find_in, &search) == 1 ? 0 : -1;
}
#endif

static atomic_ulong captures, differing, cut, frames;
static unsigned long captures_most;
static const char *directory; /* NULL: not started, or over */
static __thread bool is_inside __attribute__((tls_model("initial-exec")));
static __thread struct bmm__stack_memo *memo __attribute__((tls_model("initial-exec")));

static void say(const char *file, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    int out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out >= 0 && write(out, text, strlen(text)) < 0)
        abort();
    close(out);
}

/* Whether a frame has unwind tables. */
static bool is_known_code(uintptr_t pc)
{
    struct bmm__module module;
    struct bmm__cfi_row row;
    bool is_certain;
    return bmm__module_find(pc - 1, &module, &is_certain) && bmm__cfi_row_at(&module, pc - 1, &row) == BMM__CFI_FOUND;
}

static void report_difference(const uintptr_t *expected, int expected_count, const uintptr_t *found, int count,
                              bool is_cut)
{
    static _Thread_local char text[16384];
    int at = snprintf(text, sizeof text, "%s: %d frames, %d found%s\n", program_invocation_short_name, expected_count,
                      count, is_cut ? ", cut" : "");
    for (int i = 0; (i < expected_count || i < count) && at < (int)sizeof text - 200; i++) {
        Dl_info info = { 0 };
        uintptr_t pc = i < expected_count ? expected[i] : found[i];
        dladdr((void *)pc, &info);
        at += snprintf(text + at, 200, "  %3d %16lx %16lx %s+%lx\n", i, i < expected_count ? expected[i] : 0,
                       i < count ? found[i] : 0, info.dli_fname ? info.dli_fname : "?", pc - (uintptr_t)info.dli_fbase);
    }
    say("differing", text);
}

__attribute__((noinline)) static void take_both(void)
{
    uintptr_t expected[ORACLE_FRAMES], found[ORACLE_FRAMES];
    int expected_count;
    bool is_cut;
    if (memo == NULL)
        memo = bmm__stack_memo_make();
    ORACLE_STACK(expected, expected_count);
    uint32_t id = bmm__stack_capture(memo);
    int count = depot_stack(id, found, &is_cut);
#ifndef HAS_LIBUNWIND /* libgcc's does not say whether it was stopped by code without unwind tables, as all of musl is */
    if (is_cut && count == expected_count && !is_known_code(found[count - 1]))
        is_cut = false;
#endif
    bool is_equal = id != 0 && count <= expected_count && is_cut == (count < expected_count);
    for (int i = 1; i < count; i++) /* this function was left at two places */
        is_equal = is_equal && found[i] == expected[i];
    if (is_equal && is_cut && count < 256 && count > 1)
        is_equal = !is_known_code(expected[count]);
    atomic_fetch_add(&captures, 1);
    atomic_fetch_add(&cut, is_cut);
    atomic_fetch_add(&frames, (unsigned long)count);
    if (!is_equal && atomic_fetch_add(&differing, 1) < 10)
        report_difference(expected, expected_count, found, count, is_cut);
}

static void audit(void)
{
    if (directory == NULL || is_inside || atomic_load(&captures) >= captures_most)
        return;
    int saved_errno = errno;
    is_inside = true;
    take_both();
    is_inside = false;
    errno = saved_errno;
}

void *malloc(size_t size)
{
    audit();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    audit();
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    audit();
    return __libc_realloc(p, size);
}

__attribute__((constructor)) static void start(void)
{
    const char *most = getenv("STACK_AUDIT_MOST"), *where = getenv("STACK_AUDIT_DIRECTORY");
    captures_most = most != NULL ? strtoul(most, NULL, 10) : 100000;
    is_inside = true;
    bmm__options.mode = BMM_MODE_LEAK; /* or dlclose would tell the engine nothing */
    bmm__stack_open(256);
    bmm__stack_start();
    bmm__dl_start();
    static char copy[400]; /* a program may write its title over the environment */
    if (where != NULL && strlen(where) < sizeof copy && oracle_open())
        directory = strcpy(copy, where);
    is_inside = false;
}

__attribute__((destructor)) static void end(void)
{
    if (directory == NULL)
        return;
    char line[256];
    snprintf(line, sizeof line, "%lu %lu %lu %lu %s\n", atomic_load(&captures), atomic_load(&differing),
             atomic_load(&cut), atomic_load(&frames), program_invocation_short_name);
    say("result", line);
    directory = NULL;
}
