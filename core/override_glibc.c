/* Statistics and settings of glibc's malloc, which other libcs have none of. */
#define _GNU_SOURCE
#include "core/arena.h"
#include "core/atomic.h"
#include "core/span.h"
#include "core/text.h"

#include <errno.h>
#include <malloc.h>

#ifdef __GLIBC__

#define EXPORT __attribute__((visibility("default")))

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

#endif
