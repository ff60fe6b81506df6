#include "report/json_text.h"

#include "report/arena.h"

#include <stdlib.h>

#define DIGITS_MAX 20

void bmm__json_texts_free(struct bmm__json_texts *texts)
{
    for (uint32_t i = 0; i < texts->known.count; i++)
        free(texts->printed[i].text);
    bmm__map_free(&texts->known);
    free(texts->printed);
    bmm__map_free(&texts->numbers);
    free(texts->places);
    bmm__map_free(&texts->stacks);
    free(texts->sequence);
    free(texts->line);
    *texts = (struct bmm__json_texts){ 0 };
}

static _Noreturn void out_of_memory(void)
{
    fputs("brainmm: out of memory while writing JSON\n", stderr);
    exit(2);
}

char *bmm__json_print(cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    if (text == NULL)
        out_of_memory();
    return text;
}

/* ---- a line ---- */

void bmm__json_make_room(struct bmm__json_texts *texts, size_t bytes)
{
    texts->line = bmm__grow(texts->line, &texts->line_capacity, texts->line_bytes + bytes, 1);
}

/* Nearly all texts stand in JSON as they are, between quotes; what cJSON would have to change, it does. */
static char *print_text(const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    while (*byte >= ' ' && *byte != '"' && *byte != '\\')
        byte++;
    if (*byte != 0)
        return bmm__json_print(cJSON_CreateString(text));
    size_t length = (size_t)(byte - (const unsigned char *)text);
    char *printed = bmm__must_alloc(length + 3);
    printed[0] = printed[length + 1] = '"';
    memcpy(printed + 1, text, length);
    printed[length + 2] = 0;
    return printed;
}

void bmm__json_put_text(struct bmm__json_texts *texts, const char *text)
{
    if (text == NULL) {
        bmm__json_put(texts, "null");
        return;
    }
    bool is_new;
    uint32_t count = texts->known.count, index = bmm__map_put(&texts->known, (uintptr_t)text, 0, count, &is_new);
    if (is_new) {
        texts->printed = bmm__grow(texts->printed, &texts->printed_capacity, (size_t)count + 1, sizeof *texts->printed);
        char *printed = print_text(text);
        texts->printed[count] = (struct bmm__json_printed){ printed, (uint32_t)strlen(printed) };
    }
    bmm__json_put_bytes(texts, texts->printed[index].text, texts->printed[index].bytes);
}

static char *put_digits(char *at, uint64_t number)
{
    char digits[DIGITS_MAX];
    unsigned count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

void bmm__json_put_number(struct bmm__json_texts *texts, uint64_t number)
{
    char *at = bmm__json_room(texts, DIGITS_MAX);
    texts->line_bytes += (uint32_t)(put_digits(at, number) - at);
}

void bmm__json_write_line(struct bmm__json_texts *texts, FILE *out)
{
    fwrite(texts->line, 1, texts->line_bytes, out);
    texts->line_bytes = 0;
}

const char *bmm__json_take_line(struct bmm__json_texts *texts)
{
    *bmm__json_room(texts, 1) = 0;
    texts->line_bytes = 0;
    return texts->line;
}

/* ---- frames ---- */

void bmm__json_put_place(struct bmm__json_texts *texts, const struct bmm__frame *frame)
{
    bmm__json_put(texts, "\"function\":");
    bmm__json_put_text(texts, frame->function);
    bmm__json_put(texts, ",\"file\":");
    bmm__json_put_text(texts, frame->file);
    bmm__json_put(texts, ",\"line\":");
    if (frame->line != 0)
        bmm__json_put_number(texts, frame->line);
    else
        bmm__json_put(texts, "null");
    bmm__json_put(texts, ",\"module\":");
    bmm__json_put_text(texts, frame->module);
}

/* The frame's number in the list, of which it may be the next one. */
static uint32_t number_of(struct bmm__json_texts *texts, const struct bmm__frame *frame, bool *is_new)
{
    uint32_t count = texts->numbers.count, number = bmm__map_put(&texts->numbers, (uintptr_t)frame, 0, count, is_new);
    if (*is_new) {
        texts->places = bmm__grow(texts->places, &texts->place_capacity, (size_t)count + 1, sizeof *texts->places);
        struct bmm__json_place *place = &texts->places[count];
        place->text[0] = ',';
        place->bytes = (uint8_t)(put_digits(place->text + 1, count) - place->text);
    }
    return number;
}

static void put_hex(struct bmm__json_texts *texts, uint64_t number)
{
    char *at = bmm__json_room(texts, DIGITS_MAX);
    unsigned digits = number == 0 ? 1 : (67 - (unsigned)__builtin_clzll(number)) / 4;
    for (unsigned i = digits; i > 0; number >>= 4)
        at[--i] = "0123456789abcdef"[number & 15];
    texts->line_bytes += digits;
}

static void write_frame(struct bmm__json_texts *texts, FILE *out, const struct bmm__frame *frame, uint32_t number)
{
    bmm__json_put(texts, number == 0 ? "\n{" : ",\n{");
    bmm__json_put_place(texts, frame);
    bmm__json_put(texts, ",\"offset\":\"0x");
    put_hex(texts, frame->offset);
    bmm__json_put(texts, frame->is_inlined ? "\",\"inlined\":true}" : "\"}");
    bmm__json_write_line(texts, out);
}

void bmm__json_write_frames(struct bmm__json_texts *texts, FILE *out, const struct bmm__stack *stack)
{
    bool is_new;
    bmm__map_put(&texts->stacks, (uintptr_t)stack, 0, texts->sequence_count, &is_new);
    if (!is_new)
        return;
    texts->sequence = bmm__grow(texts->sequence, &texts->sequence_capacity,
                                (size_t)texts->sequence_count + stack->count, sizeof *texts->sequence);
    for (uint32_t i = 0; i < stack->count; i++) {
        uint32_t number = number_of(texts, stack->frames[i], &is_new);
        texts->sequence[texts->sequence_count++] = number;
        if (is_new)
            write_frame(texts, out, stack->frames[i], number);
    }
}

void bmm__json_put_stack(struct bmm__json_texts *texts, const struct bmm__stack *stack)
{
    bool is_new;
    const uint32_t *numbers = texts->sequence + bmm__map_put(&texts->stacks, (uintptr_t)stack, 0, 0, &is_new);
    char *start = bmm__json_room(texts, (size_t)stack->count * sizeof texts->places->text + 2), *at = start;
    for (uint32_t i = 0; i < stack->count; i++) {
        const struct bmm__json_place *place = &texts->places[numbers[i]];
        memcpy(at, place->text, sizeof place->text); /* of one size: the next is written over what is too much */
        at += place->bytes;
    }
    at += stack->count == 0;
    *start = '[';
    *at++ = ']';
    texts->line_bytes += (uint32_t)(at - start);
}
