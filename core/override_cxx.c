/* Every C++ operator new and delete, by its mangled name. Weak, so that a program linked with the static archive may
 * bring its own. An operator that the program did not replace forwards to the one it did (sized → unsized, array →
 * single, nothrow → throwing); then a kind says nothing, and all pass as malloc. */
#define _GNU_SOURCE
#include "core/entry.h"

#include "brainmm/snapshot.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define OPERATOR __attribute__((visibility("default"), weak))

/* Of libstdc++, if it is there. */
void (*_ZSt15get_new_handlerv(void))(void) __attribute__((weak));
_Noreturn void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

static void *(*program_new)(size_t);
static void (*program_delete)(void *);
static bool has_replaced;

static void *failed(size_t size, size_t align, unsigned kind, bool may_throw)
{
    for (;;) {
        void (*handler)(void) = _ZSt15get_new_handlerv != NULL ? _ZSt15get_new_handlerv() : NULL;
        if (handler == NULL)
            break;
        handler();
        void *p = bmm__alloc_slow(size, align, false, kind);
        if (p != NULL)
            return p;
    }
    if (!may_throw)
        return NULL;
    if (_ZSt17__throw_bad_allocv != NULL)
        _ZSt17__throw_bad_allocv();
    abort();
}

static inline void *new_block(size_t size, unsigned kind, bool may_throw)
{
    if (BMM__UNLIKELY(has_replaced)) {
        if (program_new != NULL && (kind == BMM_KIND_NEW_ARRAY || !may_throw))
            return program_new(size);
        kind = BMM_KIND_MALLOC;
    }
    void *p = bmm__alloc(size, kind);
    return BMM__LIKELY(p != NULL) ? p : failed(size, 16, kind, may_throw);
}

static inline void *new_aligned(size_t size, size_t align, unsigned kind, bool may_throw)
{
    kind = has_replaced ? BMM_KIND_MALLOC : kind;
    void *p = bmm__alloc_slow(size, align, false, kind);
    return p != NULL ? p : failed(size, align, kind, may_throw);
}

static inline void delete_block(void *p, size_t size, size_t align, unsigned kind)
{
    if (BMM__UNLIKELY(has_replaced)) {
        if (program_delete != NULL && align == 0) {
            program_delete(p);
            return;
        }
        kind = BMM_KIND_MALLOC;
        size = SIZE_MAX;
        align = 0;
    }
    bmm__free(p, size, align, kind);
}

void *_Znwm(size_t size);
void *_Znam(size_t size);
void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag);
void *_ZnamRKSt9nothrow_t(size_t size, const void *tag);
void *_ZnwmSt11align_val_t(size_t size, size_t align);
void *_ZnamSt11align_val_t(size_t size, size_t align);
void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag);
void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag);
void _ZdlPv(void *p);
void _ZdlPvRKSt9nothrow_t(void *p, const void *tag);
void _ZdlPvm(void *p, size_t size);
void _ZdlPvSt11align_val_t(void *p, size_t align);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag);
void _ZdlPvmSt11align_val_t(void *p, size_t size, size_t align);
void _ZdaPv(void *p);
void _ZdaPvRKSt9nothrow_t(void *p, const void *tag);
void _ZdaPvm(void *p, size_t size);
void _ZdaPvSt11align_val_t(void *p, size_t align);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag);
void _ZdaPvmSt11align_val_t(void *p, size_t size, size_t align);

OPERATOR void *_Znwm(size_t size)
{
    return new_block(size, BMM_KIND_NEW, true);
}

OPERATOR void *_Znam(size_t size)
{
    return new_block(size, BMM_KIND_NEW_ARRAY, true);
}

OPERATOR void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag)
{
    (void)tag;
    return new_block(size, BMM_KIND_NEW, false);
}

OPERATOR void *_ZnamRKSt9nothrow_t(size_t size, const void *tag)
{
    (void)tag;
    return new_block(size, BMM_KIND_NEW_ARRAY, false);
}

OPERATOR void *_ZnwmSt11align_val_t(size_t size, size_t align)
{
    return new_aligned(size, align, BMM_KIND_NEW_ALIGNED, true);
}

OPERATOR void *_ZnamSt11align_val_t(size_t size, size_t align)
{
    return new_aligned(size, align, BMM_KIND_NEW_ARRAY_ALIGNED, true);
}

OPERATOR void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag)
{
    (void)tag;
    return new_aligned(size, align, BMM_KIND_NEW_ALIGNED, false);
}

OPERATOR void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag)
{
    (void)tag;
    return new_aligned(size, align, BMM_KIND_NEW_ARRAY_ALIGNED, false);
}

OPERATOR void _ZdlPv(void *p)
{
    delete_block(p, SIZE_MAX, 0, BMM_KIND_NEW);
}

OPERATOR void _ZdlPvRKSt9nothrow_t(void *p, const void *tag)
{
    (void)tag;
    delete_block(p, SIZE_MAX, 0, BMM_KIND_NEW);
}

OPERATOR void _ZdlPvm(void *p, size_t size)
{
    delete_block(p, size, 0, BMM_KIND_NEW);
}

OPERATOR void _ZdlPvSt11align_val_t(void *p, size_t align)
{
    delete_block(p, SIZE_MAX, align, BMM_KIND_NEW_ALIGNED);
}

OPERATOR void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag)
{
    (void)tag;
    delete_block(p, SIZE_MAX, align, BMM_KIND_NEW_ALIGNED);
}

OPERATOR void _ZdlPvmSt11align_val_t(void *p, size_t size, size_t align)
{
    delete_block(p, size, align, BMM_KIND_NEW_ALIGNED);
}

OPERATOR void _ZdaPv(void *p)
{
    delete_block(p, SIZE_MAX, 0, BMM_KIND_NEW_ARRAY);
}

OPERATOR void _ZdaPvRKSt9nothrow_t(void *p, const void *tag)
{
    (void)tag;
    delete_block(p, SIZE_MAX, 0, BMM_KIND_NEW_ARRAY);
}

OPERATOR void _ZdaPvm(void *p, size_t size)
{
    delete_block(p, size, 0, BMM_KIND_NEW_ARRAY);
}

OPERATOR void _ZdaPvSt11align_val_t(void *p, size_t align)
{
    delete_block(p, SIZE_MAX, align, BMM_KIND_NEW_ARRAY_ALIGNED);
}

OPERATOR void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag)
{
    (void)tag;
    delete_block(p, SIZE_MAX, align, BMM_KIND_NEW_ARRAY_ALIGNED);
}

OPERATOR void _ZdaPvmSt11align_val_t(void *p, size_t size, size_t align)
{
    delete_block(p, size, align, BMM_KIND_NEW_ARRAY_ALIGNED);
}

static const char here;

/* Asks the loader who answers to operator new and delete: this library, libstdc++ behind it, or the program. */
static void *replacement(const char *name)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    Dl_info mine, theirs;
    if (found == NULL || dladdr(&here, &mine) == 0 || dladdr(found, &theirs) == 0 ||
        mine.dli_fbase == theirs.dli_fbase || strstr(theirs.dli_fname, "libstdc++") != NULL ||
        strstr(theirs.dli_fname, "libbrainmm") != NULL)
        return NULL;
    return found;
}

__attribute__((constructor(102))) static void find_replacements(void)
{
    void *found = replacement("_Znwm");
    memcpy(&program_new, &found, sizeof found);
    found = replacement("_ZdlPv");
    memcpy(&program_delete, &found, sizeof found);
    has_replaced = program_new != NULL || program_delete != NULL;
}
