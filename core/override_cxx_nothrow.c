/* The nothrow operators, in the shared libraries only. What may throw (a replaced operator new, a new-handler) can be
 * caught by C++ alone, so they go on to those of the C++ runtime behind us, which call operator new in a try block; the
 * static archive leaves them to the runtime altogether. A nothrow delete is the plain one. */
#define _GNU_SOURCE
#include "core/atomic.h"
#include "core/entry.h"
#include "core/override_cxx.h"

#include <dlfcn.h>
#include <string.h>

#define OPERATOR __attribute__((visibility("default"), weak))

void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag);
void *_ZnamRKSt9nothrow_t(size_t size, const void *tag);
void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag);
void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag);
void _ZdlPvRKSt9nothrow_t(void *p, const void *tag);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag);
void _ZdaPvRKSt9nothrow_t(void *p, const void *tag);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag);

/* The next definition of name behind this library, looked up once; NULL: there is no C++ runtime. */
static void *behind(void **found, const char *name)
{
    void *symbol = bmm__load_relaxed(found);
    if (symbol == NULL) {
        symbol = dlsym(RTLD_NEXT, name);
        bmm__store_relaxed(found, symbol);
    }
    return symbol;
}

static void *new_nothrow(void **found, const char *name, void *(*otherwise)(size_t), size_t size, const void *tag)
{
    void *(*next)(size_t, const void *);
    void *symbol = behind(found, name);
    memcpy(&next, &symbol, sizeof next);
    return next != NULL ? next(size, tag) : otherwise(size);
}

static void *new_aligned_nothrow(void **found, const char *name, void *(*otherwise)(size_t, size_t), size_t size,
                                 size_t align, const void *tag)
{
    void *(*next)(size_t, size_t, const void *);
    void *symbol = behind(found, name);
    memcpy(&next, &symbol, sizeof next);
    return next != NULL ? next(size, align, tag) : otherwise(size, align);
}

OPERATOR void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag)
{
    static void *found;
    return new_nothrow(&found, "_ZnwmRKSt9nothrow_t", _Znwm, size, tag);
}

OPERATOR void *_ZnamRKSt9nothrow_t(size_t size, const void *tag)
{
    static void *found;
    return new_nothrow(&found, "_ZnamRKSt9nothrow_t", _Znam, size, tag);
}

OPERATOR void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag)
{
    static void *found;
    return new_aligned_nothrow(&found, "_ZnwmSt11align_val_tRKSt9nothrow_t", _ZnwmSt11align_val_t, size, align, tag);
}

OPERATOR void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag)
{
    static void *found;
    return new_aligned_nothrow(&found, "_ZnamSt11align_val_tRKSt9nothrow_t", _ZnamSt11align_val_t, size, align, tag);
}

OPERATOR void _ZdlPvRKSt9nothrow_t(void *p, const void *tag)
{
    (void)tag;
    _ZdlPv(p);
}

OPERATOR void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag)
{
    (void)tag;
    _ZdlPvSt11align_val_t(p, align);
}

OPERATOR void _ZdaPvRKSt9nothrow_t(void *p, const void *tag)
{
    (void)tag;
    _ZdaPv(p);
}

OPERATOR void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag)
{
    (void)tag;
    _ZdaPvSt11align_val_t(p, align);
}
