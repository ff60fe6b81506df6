/* The nothrow forms of operator new, for the shared libraries only. See override_cxx.h. */
#define _GNU_SOURCE
#include "core/override_cxx.h"

#include "core/entry.h"

#include "brainmm/snapshot.h"

#include <string.h>

/* The runtime's own calls the throwing operator by name, ours or the program's, and returns NULL for whatever that, or
 * the new-handler, throws. Without a runtime nobody throws. */
__attribute__((noinline, cold)) static void *bmm__new_catching(size_t size, const void *tag, const char *name,
                                                               void *(*throwing)(size_t), bool is_whole,
                                                               const void *caller)
{
    void *(*runtime)(size_t, const void *);
    void *found = bmm__cxx_runtime(name, caller);
    memcpy(&runtime, &found, sizeof runtime);
    if (found != NULL)
        return runtime(size, tag);
    return is_whole ? NULL : throwing(size);
}

__attribute__((noinline, cold)) static void *bmm__new_catching_aligned(size_t size, size_t align, const void *tag,
                                                                       const char *name,
                                                                       void *(*throwing)(size_t, size_t), bool is_whole,
                                                                       const void *caller)
{
    void *(*runtime)(size_t, size_t, const void *);
    void *found = bmm__cxx_runtime(name, caller);
    memcpy(&runtime, &found, sizeof runtime);
    if (found != NULL)
        return runtime(size, align, tag);
    return is_whole ? NULL : throwing(size, align);
}

#define DEFINE_NOTHROW(n, KIND, KIND_ALIGNED) \
    BMM__OPERATOR void *_Zn##n##mRKSt9nothrow_t(size_t size, const void *tag) \
    { \
        bool is_whole = bmm__family_ask(KIND); \
        void *p = is_whole ? bmm__alloc(size, KIND) : NULL; \
        return BMM__LIKELY(p != NULL) ? p \
                                      : bmm__new_catching(size, tag, "_Zn" #n "mRKSt9nothrow_t", _Zn##n##m, is_whole, \
                                                          __builtin_return_address(0)); \
    } \
    BMM__OPERATOR void *_Zn##n##mSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag) \
    { \
        bool is_whole = bmm__family_ask(KIND_ALIGNED); \
        void *p = is_whole ? bmm__alloc_slow(size, align, false, KIND_ALIGNED) : NULL; \
        return BMM__LIKELY(p != NULL) \
                   ? p \
                   : bmm__new_catching_aligned(size, align, tag, "_Zn" #n "mSt11align_val_tRKSt9nothrow_t", \
                                               _Zn##n##mSt11align_val_t, is_whole, __builtin_return_address(0)); \
    } \
    __typeof__(_Zn##n##mRKSt9nothrow_t) bmm__own_Zn##n##mRKSt9nothrow_t \
        __attribute__((alias("_Zn" #n "mRKSt9nothrow_t"))); \
    __typeof__(_Zn##n##mSt11align_val_tRKSt9nothrow_t) bmm__own_Zn##n##mSt11align_val_tRKSt9nothrow_t \
        __attribute__((alias("_Zn" #n "mSt11align_val_tRKSt9nothrow_t")))

DEFINE_NOTHROW(w, BMM_KIND_NEW, BMM_KIND_NEW_ALIGNED);
DEFINE_NOTHROW(a, BMM_KIND_NEW_ARRAY, BMM_KIND_NEW_ARRAY_ALIGNED);
