/* Every C++ operator new and delete but the nothrow forms of new, by its mangled name. See override_cxx.h. */
#include "core/override_cxx.h"

#include "core/entry.h"

#include "brainmm/snapshot.h"

/* ---- out of memory ---- */

/* As the standard has it: the handler makes room, throws, or ends the program; without one, std::bad_alloc. */
__attribute__((noinline, cold)) static void *bmm__new_retry(size_t size, size_t align, unsigned kind,
                                                            const void *caller)
{
    void *p = NULL;
    while (p == NULL) {
        bmm__new_handler *handler = bmm__cxx_new_handler(caller);
        if (handler == NULL)
            bmm__cxx_throw_bad_alloc(caller);
        handler();
        p = bmm__alloc_slow(size, align, false, kind);
    }
    return p;
}

/* ---- the operators ---- */

/* Inside bmm__: a report knows the allocator's own frames by it, in a program linked with the archive, too. */

static inline __attribute__((always_inline)) void *bmm__heap_new(size_t size, unsigned kind)
{
    void *p = bmm__alloc(size, kind);
    return BMM__LIKELY(p != NULL) ? p : bmm__new_retry(size, 16, kind, __builtin_return_address(0));
}

static inline __attribute__((always_inline)) void *bmm__heap_new_aligned(size_t size, size_t align, unsigned kind)
{
    void *p = bmm__alloc_slow(size, align, false, kind);
    return BMM__LIKELY(p != NULL) ? p : bmm__new_retry(size, align, kind, __builtin_return_address(0));
}

/* Behind the single operators of a family that is not whole: the heap, told no kind, no size and no alignment. */
__attribute__((noinline)) static void *bmm__untold_new(size_t size)
{
    return bmm__heap_new(size, BMM_KIND_MALLOC);
}

__attribute__((noinline)) static void *bmm__untold_new_aligned(size_t size, size_t align)
{
    return bmm__heap_new_aligned(size, align, BMM_KIND_ALIGNED);
}

__attribute__((noinline)) static void bmm__untold_delete(void *p)
{
    bmm__free(p, SIZE_MAX, 0, BMM_KIND_MALLOC);
}

__attribute__((noinline)) static void bmm__untold_delete_aligned(void *p, size_t align)
{
    (void)align;
    bmm__free(p, SIZE_MAX, 0, BMM_KIND_MALLOC);
}

/* An operator: what it does when its family is whole, and otherwise. The asking stands apart, so that it costs the
 * fast path nothing but a test. (It is jumped to; unoptimised, a family's first call comes from here, and of runtimes
 * only a global one is found for it.) */
#define NEW(family, name, parameters, arguments, whole, otherwise) \
    __attribute__((noinline, cold)) static void *bmm__ask##name parameters \
    { \
        return bmm__family_ask(family) ? (whole) : (otherwise); \
    } \
    BMM__OPERATOR void *name parameters /* NOLINT: a declaration, no product */ \
    { \
        return bmm__family_is_whole(family) ? (whole) : bmm__ask##name arguments; \
    }
#define DELETE(family, name, parameters, arguments, whole, otherwise) \
    __attribute__((noinline, cold)) static void bmm__ask##name parameters \
    { \
        bmm__family_ask(family) ? (whole) : (otherwise); \
    } \
    BMM__OPERATOR void name parameters \
    { \
        bmm__family_is_whole(family) ? (whole) : bmm__ask##name arguments; \
    }

/* All of one letter. next_…: what stands behind the plain ones: the heap for the single, the single for the arrays. */
#define DEFINE_OPERATORS(n, d, KIND, KIND_ALIGNED, next_new, next_delete, next_new_aligned, next_delete_aligned) \
    NEW(KIND, _Zn##n##m, (size_t size), (size), bmm__heap_new(size, KIND), next_new(size)) \
    NEW(KIND_ALIGNED, _Zn##n##mSt11align_val_t, (size_t size, size_t align), (size, align), \
        bmm__heap_new_aligned(size, align, KIND_ALIGNED), next_new_aligned(size, align)) \
    DELETE(KIND, _Zd##d##Pv, (void *p), (p), bmm__free(p, SIZE_MAX, 0, KIND), next_delete(p)) \
    DELETE(KIND, _Zd##d##Pvm, (void *p, size_t size), (p, size), bmm__free(p, size, 0, KIND), _Zd##d##Pv(p)) \
    DELETE(KIND_ALIGNED, _Zd##d##PvSt11align_val_t, (void *p, size_t align), (p, align), \
           bmm__free(p, SIZE_MAX, align, KIND_ALIGNED), next_delete_aligned(p, align)) \
    DELETE(KIND_ALIGNED, _Zd##d##PvmSt11align_val_t, (void *p, size_t size, size_t align), (p, size, align), \
           bmm__free(p, size, align, KIND_ALIGNED), _Zd##d##PvSt11align_val_t(p, align)) \
    BMM__OPERATOR void _Zd##d##PvRKSt9nothrow_t(void *p, const void *tag) \
    { \
        (void)tag; \
        _Zd##d##Pv(p); \
    } \
    BMM__OPERATOR void _Zd##d##PvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag) \
    { \
        (void)tag; \
        _Zd##d##PvSt11align_val_t(p, align); \
    }

DEFINE_OPERATORS(w, l, BMM_KIND_NEW, BMM_KIND_NEW_ALIGNED, bmm__untold_new, bmm__untold_delete, bmm__untold_new_aligned,
                 bmm__untold_delete_aligned)
DEFINE_OPERATORS(a, a, BMM_KIND_NEW_ARRAY, BMM_KIND_NEW_ARRAY_ALIGNED, _Znwm, _ZdlPv, _ZnwmSt11align_val_t,
                 _ZdlPvSt11align_val_t)

/* Second names of the same, which stay ours when the first are the program's. */
#define DEFINE_OWN(name) __typeof__(name) bmm__own##name __attribute__((alias(#name)))
#define DEFINE_OWN_OPERATORS(n, d) \
    DEFINE_OWN(_Zn##n##m); \
    DEFINE_OWN(_Zn##n##mSt11align_val_t); \
    DEFINE_OWN(_Zd##d##Pv); \
    DEFINE_OWN(_Zd##d##Pvm); \
    DEFINE_OWN(_Zd##d##PvRKSt9nothrow_t); \
    DEFINE_OWN(_Zd##d##PvSt11align_val_t); \
    DEFINE_OWN(_Zd##d##PvmSt11align_val_t); \
    DEFINE_OWN(_Zd##d##PvSt11align_val_tRKSt9nothrow_t)
DEFINE_OWN_OPERATORS(w, l);
DEFINE_OWN_OPERATORS(a, a);
