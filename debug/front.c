/* See front.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "front.h"

#include "block.h"
#include "options.h"
#include "recorder.h"
#include "recorder_place.h"

#include "core/os.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef void *alloc_function(size_t size);
typedef void free_function(void *p);

static const char anchor; /* an address of this module */

static bool is_in_own_module(const void *address)
{
    Dl_info own, other;
    return dladdr(&anchor, &own) != 0 && dladdr(address, &other) != 0 && own.dli_fbase == other.dli_fbase;
}

/* An address in another module may be a stub there that leads to us (a program that takes malloc's address and is not
 * position-independent has one), so a block is asked for, as libc may have done before. */
static bool is_served_by_us(void)
{
    void *alloc_at = dlsym(RTLD_DEFAULT, "malloc"), *free_at = dlsym(RTLD_DEFAULT, "free");
    if (alloc_at == NULL || free_at == NULL || (is_in_own_module(alloc_at) && is_in_own_module(free_at)))
        return true;
    alloc_function *alloc;
    free_function *give_back;
    memcpy(&alloc, &alloc_at, sizeof alloc); /* function pointers, as POSIX wants them made */
    memcpy(&give_back, &free_at, sizeof give_back);
    void *p = alloc(1);
    if (p == NULL)
        return false;
    struct bmm__block block;
    bool is_ours = bmm__block_find((uintptr_t)p, &block) == BMM__BLOCK_LIVE;
    give_back(p);
    return is_ours && bmm__block_find((uintptr_t)p, &block) != BMM__BLOCK_LIVE;
}

void bmm__front_start(void)
{
    if (is_served_by_us())
        return;
    const char *path = bmm__recorder_path();
    if (path == NULL || !bmm__recorder_has_twin(path)) {
        bmm__recorder_flag(BMM_SNAPSHOT_BYPASSED);
        return;
    }
    bmm__os_file_remove(path);
    bmm__options.mode = BMM_MODE_OFF;
}
