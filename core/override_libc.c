/* Every allocation name of libc. Never strdup, realpath and the like: see tests/lint/exports.txt. */
#define _GNU_SOURCE
#include "core/arena.h"
#include "core/entry.h"
#include "core/os.h"
#include "core/process.h"
#include "core/text.h"

#include "brainmm/brainmm.h"
#include "brainmm/snapshot.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);
void cfree(void *p);
int __posix_memalign(void **out, size_t align, size_t size);

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
    return bmm__alloc_slow(size, align == 0 ? 16 : align, false, BMM_KIND_ALIGNED);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
    return bmm__alloc_slow(size, align, false, BMM_KIND_ALIGNED);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
    if (align < sizeof(void *) || (align & (align - 1)) != 0)
        return EINVAL;
    int saved_errno = errno;
    void *p = bmm__alloc_slow(size, align, false, BMM_KIND_ALIGNED);
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
    return bmm_thread_heap_minimize();
}

/* Spans in use, in bytes: what the statistics calls of libc can say without counting on the fast path. */
static size_t span_bytes_in_use(void)
{
    size_t bytes = 0;
    for (struct bmm__span *span = bmm__span_first(); span != NULL; span = span->all_next)
        if (bmm__load_acquire(&span->kind) != BMM__SPAN_UNUSED)
            bytes += span->span_bytes;
    return bytes;
}

EXPORT struct mallinfo2 mallinfo2(void)
{
    size_t bytes = span_bytes_in_use();
    return (struct mallinfo2){ .arena = bytes, .uordblks = bytes };
}

EXPORT struct mallinfo mallinfo(void)
{
    size_t bytes = span_bytes_in_use();
    int clipped = bytes > 0x7fffffff ? 0x7fffffff : (int)bytes;
    return (struct mallinfo){ .arena = clipped, .uordblks = clipped };
}

EXPORT void malloc_stats(void)
{
    struct bmm__text text;
    bmm__text_begin(&text);
    bmm__text_put_decimal(&text, span_bytes_in_use());
    bmm__text_put(&text, " bytes in spans in use");
    bmm__text_send(&text);
}

EXPORT int malloc_info(int options, FILE *stream)
{
    struct bmm__text text = { .used = 0 };
    if (options != 0) {
        errno = EINVAL;
        return -1;
    }
    bmm__text_put(&text, "<malloc version=\"brainmm-1\"><system type=\"current\" size=\"");
    bmm__text_put_decimal(&text, span_bytes_in_use());
    bmm__text_put(&text, "\"/></malloc>\n");
    return fwrite(text.data, 1, text.used, stream) == text.used ? 0 : -1;
}

EXPORT int mallopt(int parameter, int value)
{
    (void)parameter;
    (void)value;
    return 1; /* accepted and without effect, as programs that tune glibc expect to go on */
}

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

/* A module loaded with RTLD_DEEPBIND would take libc's malloc inside, and its blocks would meet our free. The call is
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
    return found(name, flags & ~RTLD_DEEPBIND);
}
