#include "report/ownership.h"

#include "report/role.h"

#include <stdlib.h>
#include <string.h>

/* By strcmp. Aliases are listed, because the symbol tables of different builds of libc show different ones. Of
 * fopen, regcomp and the like the block is freed by fclose, regfree: forgetting that is the program's leak.
 * fputs, fclose and their like are here because of open_memstream, whose buffer they enlarge. */
const char *const bmm__handing_over[] = {
    "_IO_fclose",
    "_IO_fdopen",
    "_IO_fopen",
    "_IO_popen",
    "_IO_putc",
    "__asprintf",
    "__asprintf_chk",
    "__duplocale",
    "__fprintf_chk",
    "__getcwd_chk",
    "__getdelim",
    "__isoc23_fscanf",
    "__isoc23_fwscanf",
    "__isoc23_scanf",
    "__isoc23_sscanf",
    "__isoc23_swscanf",
    "__isoc23_vfscanf",
    "__isoc23_vfwscanf",
    "__isoc23_vscanf",
    "__isoc23_vsscanf",
    "__isoc23_vswscanf",
    "__isoc23_vwscanf",
    "__isoc23_wscanf",
    "__isoc99_fscanf",
    "__isoc99_fwscanf",
    "__isoc99_scanf",
    "__isoc99_sscanf",
    "__isoc99_swscanf",
    "__isoc99_vfscanf",
    "__isoc99_vfwscanf",
    "__isoc99_vscanf",
    "__isoc99_vsscanf",
    "__isoc99_vswscanf",
    "__isoc99_vwscanf",
    "__isoc99_wscanf",
    "__newlocale",
    "__obstack_printf_chk",
    "__obstack_vprintf_chk",
    "__realpath_chk",
    "__res_ninit",
    "__sched_cpualloc",
    "__strdup",
    "__strndup",
    "__vasprintf_chk",
    "__vfprintf_chk",
    "_obstack_begin",
    "_obstack_begin_1",
    "_obstack_newchunk",
    "argz_add",
    "argz_add_sep",
    "argz_append",
    "argz_create",
    "argz_create_sep",
    "argz_insert",
    "argz_replace",
    "asprintf",
    "backtrace_symbols",
    "canonicalize_file_name",
    "catopen",
    "duplocale",
    "envz_add",
    "envz_merge",
    "fclose",
    "fdopen",
    "fdopendir",
    "fflush",
    "fmemopen",
    "fopen",
    "fopen64",
    "fopencookie",
    "fprintf",
    "fputc",
    "fputs",
    "freopen",
    "freopen64",
    "fscanf",
    "fseek",
    "fseeko",
    "fseeko64",
    "ftell",
    "fts64_children",
    "fts64_open",
    "fts64_read",
    "fts_children",
    "fts_open",
    "fts_read",
    "fwrite",
    "fwscanf",
    "get_current_dir_name",
    "getaddrinfo",
    "getcwd",
    "getdelim",
    "getifaddrs",
    "getline",
    "glob",
    "glob64",
    "hcreate",
    "hcreate_r",
    "hsearch",
    "hsearch_r",
    "iconv_open",
    "if_nameindex",
    "newlocale",
    "obstack_printf",
    "obstack_vprintf",
    "open_memstream",
    "open_wmemstream",
    "opendir",
    "popen",
    "posix_spawn_file_actions_addchdir_np",
    "posix_spawn_file_actions_addclose",
    "posix_spawn_file_actions_addclosefrom_np",
    "posix_spawn_file_actions_adddup2",
    "posix_spawn_file_actions_addfchdir_np",
    "posix_spawn_file_actions_addopen",
    "posix_spawn_file_actions_addtcsetpgrp_np",
    "pthread_attr_setaffinity_np",
    "pthread_attr_setsigmask_np",
    "pthread_getattr_np",
    "putc",
    "re_compile_fastmap",
    "re_compile_pattern",
    "re_match",
    "re_match_2",
    "re_search",
    "re_search_2",
    "realpath",
    "regcomp",
    "regexec",
    "res_ninit",
    "rewind",
    "scandir",
    "scandir64",
    "scandirat",
    "scandirat64",
    "scanf",
    "sem_open",
    "setmntent",
    "sscanf",
    "strdup",
    "strndup",
    "swscanf",
    "tempnam",
    "timer_create",
    "tmpfile",
    "tmpfile64",
    "tsearch",
    "vasprintf",
    "vfprintf",
    "vfscanf",
    "vfwscanf",
    "vscanf",
    "vsscanf",
    "vswscanf",
    "vwscanf",
    "wcsdup",
    "wordexp",
    "wscanf",
};
const size_t bmm__handing_over_count = sizeof bmm__handing_over / sizeof *bmm__handing_over;

static int by_name(const void *name, const void *entry)
{
    return strcmp(name, *(const char *const *)entry);
}

bool bmm__hands_over(const char *libc_function)
{
    return bsearch(libc_function, bmm__handing_over, bmm__handing_over_count, sizeof *bmm__handing_over, by_name) !=
           NULL;
}

/* True if no frame from `top` on belongs to the program. */
static bool is_without_program(const struct bmm__stack *stack, uint32_t top)
{
    for (uint32_t i = top; i < stack->count; i++)
        if (stack->frames[i]->role == BMM_ROLE_PROGRAM && stack->frames[i]->part != BMM_PART_START)
            return false;
    return true;
}

/* Inner functions of libc whose blocks it keeps, whoever called it how: what setenv and putenv make, and what getaddrinfo
 * and its like build on the way to their answer: the configuration of the name service and of the resolver, the
 * network's interfaces. Of most the name is known only where libc's symbols are at hand. */
static bool is_kept_inside(const struct bmm__frame *frame)
{
    static const char *const keepers[] = { "__add_to_environ", "__check_pf", "__nss_", "nss_", "__resolv_" };
    const char *name = frame->export != NULL ? frame->export : frame->function;
    for (size_t i = 0; name != NULL && i < sizeof keepers / sizeof *keepers; i++)
        if (frame->role == BMM_ROLE_LIBC && strncmp(name, keepers[i], strlen(keepers[i])) == 0)
            return true;
    return false;
}

/* getaddrinfo makes its answer itself, or one or two functions further in; what is made deeper down is kept. */
static bool is_deep_in_getaddrinfo(const struct bmm__stack *stack, uint32_t top, uint32_t end)
{
    const char *entry = bmm__stack_entry(stack, end);
    uint32_t depth = 0;
    for (uint32_t i = top; i < end; i++)
        depth += !stack->frames[i]->is_inlined;
    return entry != NULL && strcmp(entry, "getaddrinfo") == 0 && depth > 4;
}

/* What libstdc++ makes once, at a first use, and keeps: locales with their facets, what facets remember of a locale, the
 * buffers of the standard streams. A locale that the program forgot is a block of the program's own besides. */
static bool is_kept_by_cxx(const struct bmm__stack *stack, uint32_t top)
{
    static const char *const keepers[] = {
        "std::locale::locale(",    "std::locale::global(",   "std::locale::_Impl::",
        "std::locale::_S_",        "std::locale::classic(",  "std::ios_base::sync_with_stdio(",
        "std::ios_base::Init::",   "std::__numpunct_cache<", "std::__moneypunct_cache<",
        "std::__timepunct_cache<", "std::num_put<",          "std::num_get<",
        "std::money_put<",         "std::money_get<",
    };
    for (uint32_t i = top; i < stack->count; i++) {
        const struct bmm__frame *frame = stack->frames[i];
        if (frame->role != BMM_ROLE_RUNTIME && !bmm__frame_is_system(frame))
            return false;
        for (size_t k = 0; frame->function != NULL && k < sizeof keepers / sizeof *keepers; k++)
            if (frame->role == BMM_ROLE_RUNTIME && strstr(frame->function, keepers[k]) != NULL)
                return true;
    }
    return false;
}

/* What a runtime library's constructor makes, such as libstdc++'s memory for exceptions, whoever had it loaded. */
static bool is_made_when_loaded(const struct bmm__stack *stack, uint32_t top)
{
    uint32_t i = top;
    while (i < stack->count && stack->frames[i]->role == BMM_ROLE_RUNTIME)
        i++;
    return i > top && i < stack->count && stack->frames[i]->role == BMM_ROLE_LOADER;
}

bool bmm__stack_is_runtime(const struct bmm__stack *stack)
{
    uint32_t top = bmm__stack_top(stack);
    if (top == stack->count)
        return false;
    /* The loader's own start has no unwind tables: a stack cut there is whole, only the kernel is outside of it. */
    bool is_cut = stack->is_truncated && stack->frames[stack->count - 1]->role != BMM_ROLE_LOADER;
    if (is_without_program(stack, top) && !is_cut)
        return true;

    if (is_kept_by_cxx(stack, top) || is_made_when_loaded(stack, top))
        return true;

    /* The run of libc and loader frames on top. */
    bool is_loader_inside = false;
    uint32_t end = top;
    for (; end < stack->count && bmm__frame_is_system(stack->frames[end]); end++) {
        const struct bmm__frame *frame = stack->frames[end];
        /* A stream's buffer goes with the stream; those of stdin and stdout are never freed. */
        if (frame->export != NULL && strstr(frame->export, "_doallocate") != NULL)
            return true;
        if (is_kept_inside(frame))
            return true;
        is_loader_inside |= frame->role == BMM_ROLE_LOADER;
    }
    if (end == top)
        return false;
    /* Modules that getaddrinfo or iconv_open load stay, like all that the loader keeps. */
    if (is_loader_inside || is_deep_in_getaddrinfo(stack, top, end))
        return true;
    const char *entry = bmm__stack_entry(stack, end);
    return entry != NULL && !bmm__hands_over(entry);
}
