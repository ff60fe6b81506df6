/* Every allocation name of libc. Never strdup, realpath and the like: see tests/lint/exports.txt. */
#define _GNU_SOURCE
#include "core/entry.h"
#include "core/os.h"
#include "core/process.h"

#include "brainmm/brainmm.h"
#include "brainmm/snapshot.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#ifndef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0
#endif
#define EXPORT __attribute__((visibility("default")))

void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);
void cfree(void *p);
#ifdef __GLIBC__
int __posix_memalign(void **out, size_t align, size_t size);
#else
void *pvalloc(size_t size);
int malloc_trim(size_t pad);
#endif

EXPORT void *malloc(size_t size)
{
    return bmm__alloc(size, BMM_KIND_MALLOC);
}

EXPORT void free(void *p)
{
    bmm__free(p, SIZE_MAX, 0, BMM_KIND_MALLOC);
}

EXPORT void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return bmm__calloc(bytes, BMM_KIND_MALLOC);
}

EXPORT void *realloc(void *p, size_t size)
{
    return bmm__realloc_any(p, size, BMM_KIND_MALLOC);
}

EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return bmm__realloc_any(p, bytes, BMM_KIND_MALLOC);
}

EXPORT void free_sized(void *p, size_t size)
{
    bmm__free(p, size, 0, BMM_KIND_MALLOC);
}

EXPORT void free_aligned_sized(void *p, size_t align, size_t size)
{
    bmm__free(p, size, align, BMM_KIND_ALIGNED);
}

EXPORT void cfree(void *p)
{
    bmm__free(p, SIZE_MAX, 0, BMM_KIND_MALLOC);
}

EXPORT void *memalign(size_t align, size_t size)
{
    /* glibc rounds an odd alignment up, and programs rely on it. */
    while ((align & (align - 1)) != 0 && align <= SIZE_MAX / 2)
        align += align & -align;
    return bmm__alloc_aligned(size, align == 0 ? 16 : align, BMM_KIND_ALIGNED);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
    return bmm__alloc_aligned(size, align, BMM_KIND_ALIGNED);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
    if (align < sizeof(void *) || (align & (align - 1)) != 0)
        return EINVAL;
    int saved_errno = errno;
    void *p = bmm__alloc_aligned(size, align, BMM_KIND_ALIGNED);
    errno = saved_errno;
    if (p == NULL)
        return ENOMEM;
    *out = p;
    return 0;
}

EXPORT void *valloc(size_t size)
{
    return bmm__alloc_slow(size, bmm__os_page_bytes(), false, BMM_KIND_ALIGNED);
}

EXPORT void *pvalloc(size_t size)
{
    size_t page = bmm__os_page_bytes(), whole = (size + page - 1) & ~(page - 1);
    if (whole < size) {
        errno = ENOMEM;
        return NULL;
    }
    return bmm__alloc_slow(whole == 0 ? page : whole, page, false, BMM_KIND_ALIGNED);
}

EXPORT size_t malloc_usable_size(void *p)
{
    return bmm__usable_size(p);
}

EXPORT int malloc_trim(size_t pad)
{
    (void)pad;
    return bmm_heap_minimize();
}

#ifdef __GLIBC__          /* malloc as its own libraries call it */
#if __has_attribute(copy) /* of gcc: the alias promises what the original does */
#define COPY(name) __attribute__((copy(name)))
#else
#define COPY(name)
#endif
#define ALIAS(name) COPY(name) __attribute__((alias(#name), visibility("default")))
void *__libc_malloc(size_t size) ALIAS(malloc);
void *__libc_calloc(size_t count, size_t size) ALIAS(calloc);
void *__libc_realloc(void *p, size_t size) ALIAS(realloc);
void __libc_free(void *p) ALIAS(free);
void *__libc_memalign(size_t align, size_t size) ALIAS(memalign);
void *__libc_valloc(size_t size) ALIAS(valloc);
void *__libc_pvalloc(size_t size) ALIAS(pvalloc);
int __posix_memalign(void **out, size_t align, size_t size) ALIAS(posix_memalign);
#endif

/* A module loaded with RTLD_DEEPBIND would take libc's malloc inside, and its blocks would meet our free. In glibc the call is
 * a tail call, so that the loader still sees the caller and its RUNPATH. */
EXPORT void *dlopen(const char *name, int flags)
{
    static void *(*next)(const char *, int);
    void *(*found)(const char *, int) = bmm__load_relaxed(&next);
    if (found == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "dlopen");
        memcpy(&found, &symbol, sizeof found);
        bmm__store_relaxed(&next, found);
    }
#ifdef __GLIBC__
    return found(name, flags & ~RTLD_DEEPBIND);
#else
    void *library = found(name, flags & ~RTLD_DEEPBIND);
    if (library != NULL && bmm__process.client != NULL)
        bmm__process.client->library_loaded();
    return library;
#endif
}
