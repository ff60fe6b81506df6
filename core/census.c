#include "core/census.h"

#include "core/text.h"

bool bmm__census_count(uintptr_t start, size_t bytes, struct bmm__census *census)
{
    struct bmm__census_line *line = census->lines;
    while (line < census->lines + census->line_count && line->bytes != bytes)
        line++;
    if (line == census->lines + census->line_count) {
        if (census->line_count == BMM__CENSUS_SIZES) {
            line = &census->lines[BMM__CENSUS_SIZES];
        } else {
            census->line_count++;
            line->bytes = bytes;
        }
    }
    if (line->count < BMM__CENSUS_ADDRESSES)
        line->addresses[line->count] = start;
    line->count++;
    line->total_bytes += bytes;
    return true;
}

static void write_line(const struct bmm__census_line *line)
{
    struct bmm__text text = { .used = 0 };
    bmm__text_put(&text, "  ");
    bmm__text_put_decimal(&text, line->count);
    if (line->bytes != 0) {
        bmm__text_put(&text, " of ");
        bmm__text_put_decimal(&text, line->bytes);
        bmm__text_put(&text, " bytes:");
    } else {
        bmm__text_put(&text, " of other sizes, ");
        bmm__text_put_decimal(&text, line->total_bytes);
        bmm__text_put(&text, " bytes together:");
    }
    for (size_t i = 0; i < line->count && i < BMM__CENSUS_ADDRESSES; i++) {
        bmm__text_put(&text, " ");
        bmm__text_put_hex(&text, line->addresses[i]);
    }
    if (line->count > BMM__CENSUS_ADDRESSES)
        bmm__text_put(&text, " …");
    bmm__text_send(&text);
}

/* The line with the most bytes that was not written yet; NULL: none. */
static struct bmm__census_line *next_line(struct bmm__census *census)
{
    struct bmm__census_line *best = NULL;
    for (size_t i = 0; i < census->line_count; i++)
        if (census->lines[i].count != 0 && (best == NULL || census->lines[i].total_bytes > best->total_bytes))
            best = &census->lines[i];
    return best;
}

void bmm__census_write(struct bmm__census *census)
{
    size_t count = 0, bytes = 0;
    for (size_t i = 0; i <= BMM__CENSUS_SIZES; i++) {
        count += census->lines[i].count;
        bytes += census->lines[i].total_bytes;
    }
    if (count == 0)
        return;
    struct bmm__text text;
    bmm__text_begin(&text);
    bmm__text_put_decimal(&text, count);
    bmm__text_put(&text, count == 1 ? " block, " : " blocks, ");
    bmm__text_put_decimal(&text, bytes);
    bmm__text_put(&text, " bytes were not freed (sizes are those of slots; the C library's own are among them);"
                         " libbrainmm_debug says who allocated them");
    bmm__text_send(&text);
    for (struct bmm__census_line *line; (line = next_line(census)) != NULL; line->count = 0)
        write_line(line);
    if (census->lines[BMM__CENSUS_SIZES].count != 0)
        write_line(&census->lines[BMM__CENSUS_SIZES]);
}
