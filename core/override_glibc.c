/* Statistics and settings of glibc's malloc, which other libcs have none of, told of our heap. (stats.c) */
#define _GNU_SOURCE
#include "core/stats.h"
#include "core/text.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>

#ifdef __GLIBC__

#define EXPORT __attribute__((visibility("default")))

/* Of all kinds together but large. */
static struct bmm_stats_line without_large(const struct bmm_stats *stats)
{
    struct bmm_stats_line sum = { 0 };
    for (unsigned kind = BMM_MEMORY_SMALL; kind <= BMM_MEMORY_KIND_LAST; kind++)
        if (kind != BMM_MEMORY_LARGE) {
            sum.live_count += stats->kinds[kind].live_count;
            sum.live_bytes += stats->kinds[kind].live_bytes;
            sum.free_bytes += stats->kinds[kind].free_bytes;
        }
    return sum;
}

static size_t free_slots(const struct bmm_stats *stats)
{
    size_t count = 0;
    for (unsigned i = 0; i < BMM_STATS_CLASSES; i++)
        count += stats->classes[i].free_bytes / stats->classes[i].block_bytes;
    return count;
}

EXPORT struct mallinfo2 mallinfo2(void)
{
    struct bmm_stats stats;
    bmm_stats(&stats);
    const struct bmm_stats_line *large = &stats.kinds[BMM_MEMORY_LARGE];
    struct bmm_stats_line rest = without_large(&stats);
    return (struct mallinfo2){ .arena = rest.live_bytes + rest.free_bytes,
                               .ordblks = free_slots(&stats),
                               .hblks = large->live_count,
                               .hblkhd = large->live_bytes,
                               .uordblks = rest.live_bytes,
                               .fordblks = rest.free_bytes,
                               .keepcost = stats.kept_bytes };
}

static int clipped(size_t bytes)
{
    return bytes > INT_MAX ? INT_MAX : (int)bytes;
}

EXPORT struct mallinfo mallinfo(void)
{
    struct mallinfo2 wide = mallinfo2();
    return (struct mallinfo){ .arena = clipped(wide.arena),
                              .ordblks = clipped(wide.ordblks),
                              .hblks = clipped(wide.hblks),
                              .hblkhd = clipped(wide.hblkhd),
                              .uordblks = clipped(wide.uordblks),
                              .fordblks = clipped(wide.fordblks),
                              .keepcost = clipped(wide.keepcost) };
}

static void put_line(struct bmm__text *text, const struct bmm_stats_line *line)
{
    bmm__text_put_decimal(text, line->live_count);
    bmm__text_put(text, " blocks of ");
    bmm__text_put_decimal(text, line->live_bytes);
    bmm__text_put(text, " bytes, free ");
    bmm__text_put_decimal(text, line->free_bytes);
    bmm__text_put(text, ", peak ");
    bmm__text_put_decimal(text, line->peak_bytes);
    bmm__text_put(text, ", purged ");
    bmm__text_put_decimal(text, line->purged_bytes);
    bmm__text_send(text);
}

EXPORT void malloc_stats(void)
{
    struct bmm_stats stats;
    struct bmm__text text;
    bmm_stats(&stats);
    bmm__text_begin(&text);
    bmm__text_put(&text, "mapped ");
    bmm__text_put_decimal(&text, stats.mapped_bytes);
    bmm__text_put(&text, " bytes, resident ");
    bmm__text_put_decimal(&text, stats.resident_bytes);
    bmm__text_put(&text, " (the process), kept ");
    bmm__text_put_decimal(&text, stats.kept_bytes);
    bmm__text_put(&text, ", purged ");
    bmm__text_put_decimal(&text, stats.purged_bytes);
    bmm__text_send(&text);
    for (unsigned kind = BMM_MEMORY_SMALL; kind <= BMM_MEMORY_KIND_LAST; kind++) {
        text.used = 0;
        bmm__text_put(&text, "  ");
        bmm__text_put(&text, bmm__stats_kind_name(kind));
        bmm__text_put(&text, ": ");
        put_line(&text, &stats.kinds[kind]);
    }
    for (unsigned i = 0; i < BMM_STATS_CLASSES; i++)
        if (stats.classes[i].peak_bytes != 0) {
            text.used = 0;
            bmm__text_put(&text, "  slots of ");
            bmm__text_put_decimal(&text, stats.classes[i].block_bytes);
            bmm__text_put(&text, " bytes: ");
            put_line(&text, &stats.classes[i]);
        }
}

/* ---- malloc_info: without stdio's own formatting, which allocates ---- */

static void put_attribute(struct bmm__text *text, const char *name, size_t value)
{
    bmm__text_put(text, " ");
    bmm__text_put(text, name);
    bmm__text_put(text, "=\"");
    bmm__text_put_decimal(text, value);
    bmm__text_put(text, "\"");
}

static void put_total(struct bmm__text *text, const char *type, size_t count, size_t bytes)
{
    bmm__text_put(text, "<total type=\"");
    bmm__text_put(text, type);
    bmm__text_put(text, "\"");
    put_attribute(text, "count", count);
    put_attribute(text, "size", bytes);
    bmm__text_put(text, "/>\n");
}

static void put_size(struct bmm__text *text, const char *element, const char *type, size_t bytes)
{
    bmm__text_put(text, "<");
    bmm__text_put(text, element);
    bmm__text_put(text, " type=\"");
    bmm__text_put(text, type);
    bmm__text_put(text, "\"");
    put_attribute(text, "size", bytes);
    bmm__text_put(text, "/>\n");
}

static bool write_text(FILE *stream, struct bmm__text *text)
{
    bool is_done = fwrite(text->data, 1, text->used, stream) == text->used;
    text->used = 0;
    return is_done;
}

/* What is free of a size. */
static bool write_size(FILE *stream, const struct bmm_stats_line *line)
{
    struct bmm__text text = { .used = 0 };
    size_t count = line->free_bytes / line->block_bytes;
    if (count == 0)
        return true;
    bmm__text_put(&text, "  <size");
    put_attribute(&text, "from", line->block_bytes);
    put_attribute(&text, "to", line->block_bytes);
    put_attribute(&text, "total", count * line->block_bytes);
    put_attribute(&text, "count", count);
    bmm__text_put(&text, "/>\n");
    return write_text(stream, &text);
}

static size_t peak_of(const struct bmm_stats *stats)
{
    size_t bytes = 0;
    for (unsigned kind = BMM_MEMORY_SMALL; kind <= BMM_MEMORY_KIND_LAST; kind++)
        bytes += stats->kinds[kind].peak_bytes;
    return bytes;
}

/* In the elements of glibc's. */
EXPORT int malloc_info(int options, FILE *stream)
{
    struct bmm_stats stats;
    struct bmm__text text = { .used = 0 };
    if (options != 0) {
        errno = EINVAL;
        return -1;
    }
    bmm_stats(&stats);
    const struct bmm_stats_line *large = &stats.kinds[BMM_MEMORY_LARGE];
    struct bmm_stats_line rest = without_large(&stats);
    size_t rest_bytes = rest.live_bytes + rest.free_bytes;
    bmm__text_put(&text, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
    bool is_done = write_text(stream, &text);
    for (unsigned i = 0; i < BMM_STATS_CLASSES && is_done; i++)
        is_done = write_size(stream, &stats.classes[i]);
    bmm__text_put(&text, "</sizes>\n");
    put_total(&text, "rest", free_slots(&stats), rest.free_bytes);
    put_size(&text, "system", "current", rest_bytes);
    put_size(&text, "system", "max", peak_of(&stats) - large->peak_bytes);
    put_size(&text, "aspace", "total", stats.mapped_bytes - large->live_bytes);
    bmm__text_put(&text, "</heap>\n");
    put_total(&text, "rest", free_slots(&stats), rest.free_bytes);
    put_total(&text, "mmap", large->live_count, large->live_bytes);
    put_size(&text, "system", "current", rest_bytes + large->live_bytes);
    put_size(&text, "system", "max", peak_of(&stats));
    put_size(&text, "aspace", "total", stats.mapped_bytes);
    bmm__text_put(&text, "</malloc>\n");
    return write_text(stream, &text) && is_done ? 0 : -1;
}

EXPORT int mallopt(int parameter, int value)
{
    (void)parameter;
    (void)value;
    return 1; /* accepted and without effect, as programs that tune glibc expect to go on */
}

#endif
