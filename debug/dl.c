/* See dl.h. New modules need no word from us: the stack engine finds them when a stack first passes through one. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "dl.h"

#include "options.h"
#include "stack.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

static int (*real_dlclose)(void *handle);

void bmm__dl_start(void)
{
    void *symbol = dlsym(RTLD_NEXT, "dlclose");
    memcpy(&real_dlclose, &symbol, sizeof symbol); /* a function pointer, as POSIX wants it made */
}

__attribute__((visibility("default"))) int dlclose(void *handle)
{
    if (real_dlclose == NULL)
        bmm__dl_start();
    if (real_dlclose == NULL) {
        errno = ENOSYS;
        return -1;
    }
    int result = real_dlclose(handle);
    if (bmm__options.mode != BMM_MODE_OFF)
        bmm__stack_modules_changed();
    return result;
}
