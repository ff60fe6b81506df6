/* The statistics as JSON. A number is written digit by digit: stdio allocates. */
#include "core/stats.h"

#include <string.h>

struct out {
    char *buffer;
    size_t capacity, used; /* used may be more */
};

static void put(struct out *out, const char *text)
{
    for (; *text != '\0'; text++, out->used++)
        if (out->used < out->capacity)
            out->buffer[out->used] = *text;
}

static void put_number(struct out *out, const char *before, uint64_t number)
{
    char digits[21], *digit = digits + sizeof digits;
    *--digit = '\0';
    do
        *--digit = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    put(out, before);
    put(out, digit);
}

static void put_line(struct out *out, const struct bmm_stats_line *line)
{
    put_number(out, "\"live_count\":", line->live_count);
    put_number(out, ",\"live_bytes\":", line->live_bytes);
    put_number(out, ",\"free_bytes\":", line->free_bytes);
    put_number(out, ",\"peak_bytes\":", line->peak_bytes);
    put_number(out, ",\"purged_bytes\":", line->purged_bytes);
    put(out, "}");
}

size_t bmm_stats_json(char *buffer, size_t capacity)
{
    struct bmm_stats stats;
    struct out out = { buffer, capacity == 0 ? 0 : capacity - 1, 0 };
    bmm_stats(&stats);
    put_number(&out, "{\"version\":", 1);
    put_number(&out, ",\"mapped_bytes\":", stats.mapped_bytes);
    put_number(&out, ",\"resident_bytes\":", stats.resident_bytes);
    put_number(&out, ",\"kept_bytes\":", stats.kept_bytes);
    put_number(&out, ",\"purged_bytes\":", stats.purged_bytes);
    put(&out, ",\"kinds\":[");
    for (unsigned kind = BMM_MEMORY_SMALL; kind <= BMM_MEMORY_KIND_LAST; kind++) {
        put(&out, kind == BMM_MEMORY_SMALL ? "{\"kind\":\"" : ",{\"kind\":\"");
        put(&out, bmm__stats_kind_name(kind));
        put(&out, "\",");
        put_line(&out, &stats.kinds[kind]);
    }
    put(&out, "],\"classes\":[");
    for (unsigned i = 0; i < BMM_STATS_CLASSES; i++) {
        put_number(&out, i == 0 ? "{\"block_bytes\":" : ",{\"block_bytes\":", stats.classes[i].block_bytes);
        put(&out, ",");
        put_line(&out, &stats.classes[i]);
    }
    put(&out, "]}");
    if (capacity != 0)
        buffer[out.used < capacity - 1 ? out.used : capacity - 1] = '\0';
    return out.used;
}
