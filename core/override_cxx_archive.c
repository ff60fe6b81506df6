/* The C++ runtime, for the archives: a program that calls an operator is linked with one, and what is named here the linker takes from
 * it, also where all of it is linked in and nothing could be looked up. By the names of the C++ ABI (Itanium), which libstdc++ and libc++
 * share. See override_cxx.h. */
#include "core/override_cxx.h"

extern const char _ZTVSt9bad_alloc[], _ZTISt9bad_alloc[]; /* its virtual table; what it is */
void _ZNSt9bad_allocD1Ev(void *exception);
void *__cxa_allocate_exception(size_t size);
_Noreturn void __cxa_throw(void *exception, const void *type, void (*destructor)(void *));
bmm__new_handler *_ZSt15get_new_handlerv(void);

bmm__new_handler *bmm__cxx_new_handler(const void *caller)
{
    (void)caller;
    return _ZSt15get_new_handlerv();
}

_Noreturn void bmm__cxx_throw_bad_alloc(const void *caller)
{
    (void)caller;
    const char **exception = __cxa_allocate_exception(sizeof *exception);
    *exception = _ZTVSt9bad_alloc + 2 * sizeof(void *); /* an object of it is a pointer to there */
    __cxa_throw(exception, _ZTISt9bad_alloc, _ZNSt9bad_allocD1Ev);
}
