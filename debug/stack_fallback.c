/* See stack_fallback.h. */
#include "stack_fallback.h"

#include "stack_rules.h"

#include "core/atomic.h"

#include <dlfcn.h>

typedef int backtrace_function(void **addresses, int capacity);

static backtrace_function *backtrace_of_libunwind; /* NULL: not loaded, or forbidden */

void bmm__fallback_load(void)
{
    void *library = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return; /* we live without */
    void *function = dlsym(library, "unw_backtrace");
    backtrace_function *typed;
    memcpy(&typed, &function, sizeof typed); /* ISO C has no cast from an object pointer to a function's */
    bmm__store_release(&backtrace_of_libunwind, typed);
}

void bmm__fallback_forbid(void)
{
    bmm__store_release(&backtrace_of_libunwind, NULL);
}

__attribute__((noinline)) bool bmm__fallback_walk(struct bmm__walk *walk, const struct bmm__frame_state *start,
                                                  bool *is_whole)
{
    backtrace_function *function = bmm__load_acquire(&backtrace_of_libunwind);
    if (!function || walk->has_signal)
        return false;
    void *addresses[BMM__WALK_FRAMES];
    int count = function(addresses, (int)BMM__WALK_FRAMES);
    int first = 0;
    while (first < count && (uintptr_t)addresses[first] != start->pc)
        first++;
    if (count - first <= (int)walk->count)
        return false;
    struct bmm__rule last = { 0 };
    walk->count = walk->own_count = 0;
    *is_whole = false;
    for (int i = first; i < count; i++) {
        walk->state = (struct bmm__frame_state){ .pc = (uintptr_t)addresses[i] };
        uint64_t word = bmm__rule_find(walk->state.pc - 1);
        last = bmm__rule_decode(word);
        if (!bmm__walk_store(walk, word)) /* generated code, too: it was passed, and so is no wild value */
            return true;
    }
    *is_whole = last.kind == BMM__RULE_END;
    return true;
}
