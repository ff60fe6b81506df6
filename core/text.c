/* See text.h. Knows nothing of what is said. */
#include "core/text.h"

#include "core/os.h"

#include <string.h>

void bmm__text_begin(struct bmm__text *text)
{
    text->used = 0;
    bmm__text_put(text, "brainmm: ");
}

void bmm__text_put_bytes(struct bmm__text *text, const char *bytes, size_t count)
{
    size_t room = BMM__TEXT_BYTES - 1 - text->used; /* 1: the line end (T1) */
    if (count > room)
        count = room;
    memcpy(text->data + text->used, bytes, count);
    text->used += count;
}

void bmm__text_put(struct bmm__text *text, const char *string)
{
    bmm__text_put_bytes(text, string, strlen(string));
}

static void put_number(struct bmm__text *text, uint64_t number, unsigned base)
{
    char digits[20];
    size_t first = sizeof digits;
    do {
        digits[--first] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    bmm__text_put_bytes(text, digits + first, sizeof digits - first);
}

void bmm__text_put_decimal(struct bmm__text *text, uint64_t number)
{
    put_number(text, number, 10);
}

void bmm__text_put_hex(struct bmm__text *text, uint64_t number)
{
    bmm__text_put(text, "0x");
    put_number(text, number, 16);
}

void bmm__text_send(struct bmm__text *text)
{
    text->data[text->used++] = '\n';
    bmm__os_write_error(text->data, text->used);
}
