/* The C++ runtime, for the shared libraries, which do not know of which there is one, if any. See override_cxx.h. */
#define _GNU_SOURCE
#include "core/override_cxx.h"

#include "core/os.h"
#include "core/text.h"

#include <dlfcn.h>
#include <string.h>

bmm__new_handler *_ZSt15get_new_handlerv(void) __attribute__((weak));
_Noreturn void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

void *bmm__cxx_runtime(const char *name, const void *caller)
{
    void *found = dlsym(RTLD_NEXT, name);
    Dl_info module;
    if (found != NULL || dladdr(caller, &module) == 0)
        return found;
    void *handle = dlopen(module.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == NULL)
        return NULL;
    found = dlsym(handle, name);
    dlclose(handle); /* the module stays: it is what has called us */
    return found;
}

bmm__new_handler *bmm__cxx_new_handler(const void *caller)
{
    bmm__new_handler *(*get)(void) = _ZSt15get_new_handlerv;
    if (get == NULL) {
        void *found = bmm__cxx_runtime("_ZSt15get_new_handlerv", caller);
        memcpy(&get, &found, sizeof get);
    }
    return get != NULL ? get() : NULL;
}

_Noreturn void bmm__cxx_throw_bad_alloc(const void *caller)
{
    void (*throw)(void) = _ZSt17__throw_bad_allocv;
    if (throw == NULL) {
        void *found = bmm__cxx_runtime("_ZSt17__throw_bad_allocv", caller);
        memcpy(&throw, &found, sizeof throw);
    }
    if (throw != NULL)
        throw();
    struct bmm__text text;
    bmm__text_begin(&text);
    bmm__text_put(&text,
                  "operator new: out of memory, and no C++ runtime is to be found that would throw std::bad_alloc");
    bmm__text_send(&text);
    bmm__os_abort();
}
