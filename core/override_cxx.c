/* Every C++ operator new and delete but the nothrow ones (override_cxx_nothrow.c), by its mangled name. Weak, so that a
 * program linked with the static archive may bring its own.
 *
 * An operator that the program did not replace forwards to the one it did, as the standard says of the default ones:
 *
 *   new[] ──► new                sized delete[] ──► delete[] ──► delete ◄── sized delete      the same with alignment
 *
 * As soon as the program replaced any of them a kind says nothing any more, and all pass as malloc.
 */
#include "core/override_cxx.h"

#include "core/entry.h"
#include "core/os.h"

#include "brainmm/snapshot.h"

#define OPERATOR __attribute__((visibility("default"), weak))

/* Of libstdc++, if it is there. */
void (*_ZSt15get_new_handlerv(void))(void) __attribute__((weak));
_Noreturn void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

static struct bmm__cxx_replaced replaced; /* set before the program's first constructor */

static void *failed(size_t size, size_t align, unsigned kind)
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
    if (_ZSt17__throw_bad_allocv != NULL)
        _ZSt17__throw_bad_allocv();
    bmm__os_abort();
}

static inline void *new_block(size_t size, unsigned kind)
{
    if (BMM__UNLIKELY(replaced.has_any)) {
        if (replaced.new_one != NULL && kind == BMM_KIND_NEW_ARRAY)
            return replaced.new_one(size);
        kind = BMM_KIND_MALLOC;
    }
    void *p = bmm__alloc(size, kind);
    return BMM__LIKELY(p != NULL) ? p : failed(size, 16, kind);
}

static inline void *new_aligned(size_t size, size_t align, unsigned kind)
{
    if (BMM__UNLIKELY(replaced.has_any)) {
        if (replaced.new_aligned != NULL && kind == BMM_KIND_NEW_ARRAY_ALIGNED)
            return replaced.new_aligned(size, align);
        kind = BMM_KIND_MALLOC;
    }
    void *p = bmm__alloc_slow(size, align, false, kind);
    return p != NULL ? p : failed(size, align, kind);
}

/* True if the default operator ends in one of the program's. */
static bool forward_delete(void *p, size_t size, size_t align, unsigned kind)
{
    bool is_sized = size != SIZE_MAX, is_array = kind == BMM_KIND_NEW_ARRAY || kind == BMM_KIND_NEW_ARRAY_ALIGNED;
    if (align == 0) {
        void (*next)(void *) = is_array && is_sized ? replaced.delete_array : NULL;
        if (next == NULL && (is_array || is_sized))
            next = replaced.delete_one;
        if (next != NULL)
            next(p);
        return next != NULL;
    }
    void (*next)(void *, size_t) = is_array && is_sized ? replaced.delete_array_aligned : NULL;
    if (next == NULL && (is_array || is_sized))
        next = replaced.delete_aligned;
    if (next != NULL)
        next(p, align);
    return next != NULL;
}

/* size SIZE_MAX, align 0: not given. */
static inline void delete_block(void *p, size_t size, size_t align, unsigned kind)
{
    if (BMM__LIKELY(!replaced.has_any))
        bmm__free(p, size, align, kind);
    else if (!forward_delete(p, size, align, kind))
        bmm__free(p, SIZE_MAX, 0, BMM_KIND_MALLOC);
}

OPERATOR void *_Znwm(size_t size)
{
    return new_block(size, BMM_KIND_NEW);
}

OPERATOR void *_Znam(size_t size)
{
    return new_block(size, BMM_KIND_NEW_ARRAY);
}

OPERATOR void *_ZnwmSt11align_val_t(size_t size, size_t align)
{
    return new_aligned(size, align, BMM_KIND_NEW_ALIGNED);
}

OPERATOR void *_ZnamSt11align_val_t(size_t size, size_t align)
{
    return new_aligned(size, align, BMM_KIND_NEW_ARRAY_ALIGNED);
}

OPERATOR void _ZdlPv(void *p)
{
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

OPERATOR void _ZdlPvmSt11align_val_t(void *p, size_t size, size_t align)
{
    delete_block(p, size, align, BMM_KIND_NEW_ALIGNED);
}

OPERATOR void _ZdaPv(void *p)
{
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

OPERATOR void _ZdaPvmSt11align_val_t(void *p, size_t size, size_t align)
{
    delete_block(p, size, align, BMM_KIND_NEW_ARRAY_ALIGNED);
}

/* Our own by names that nobody can replace. */
#define OWN(name) __typeof__(name) bmm__own##name __attribute__((alias(#name), visibility("hidden")))
OWN(_Znwm);
OWN(_Znam);
OWN(_ZnwmSt11align_val_t);
OWN(_ZnamSt11align_val_t);
OWN(_ZdlPv);
OWN(_ZdlPvm);
OWN(_ZdlPvSt11align_val_t);
OWN(_ZdlPvmSt11align_val_t);
OWN(_ZdaPv);
OWN(_ZdaPvm);
OWN(_ZdaPvSt11align_val_t);
OWN(_ZdaPvmSt11align_val_t);

__attribute__((constructor(101))) static void look_for_replacements(void)
{
    bmm__cxx_find_replaced(&replaced);
}
