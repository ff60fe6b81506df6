#include "report/json_text.h"

#include "report/arena.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES 11 /* of a frame in a stack, with the comma */
#define DIGITS_MAX 20

void bmm__json_texts_free(struct bmm__json_texts *texts)
{
    for (uint32_t i = 0; i < texts->known.count; i++)
        free(texts->printed[i]);
    bmm__map_free(&texts->known);
    free(texts->printed);
    bmm__map_free(&texts->numbers);
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

const char *bmm__json_text(struct bmm__json_texts *texts, const char *text)
{
    if (text == NULL)
        return "null";
    bool is_new;
    uint32_t count = texts->known.count, index = bmm__map_put(&texts->known, (uintptr_t)text, 0, count, &is_new);
    if (is_new) {
        texts->printed = bmm__grow(texts->printed, &texts->printed_capacity, (size_t)count + 1, sizeof *texts->printed);
        texts->printed[count] = bmm__json_print(cJSON_CreateString(text));
    }
    return texts->printed[index];
}

/* ---- a line ---- */

/* Where the next bytes belong, of which there may be so many. */
static char *room_for(struct bmm__json_texts *texts, size_t bytes)
{
    texts->line = bmm__grow(texts->line, &texts->line_capacity, texts->line_bytes + bytes, 1);
    return texts->line + texts->line_bytes;
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

void bmm__json_put(struct bmm__json_texts *texts, const char *printed)
{
    size_t bytes = strlen(printed);
    memcpy(room_for(texts, bytes), printed, bytes);
    texts->line_bytes += (uint32_t)bytes;
}

void bmm__json_put_number(struct bmm__json_texts *texts, uint64_t number)
{
    char *at = room_for(texts, DIGITS_MAX);
    texts->line_bytes += (uint32_t)(put_digits(at, number) - at);
}

void bmm__json_write_line(struct bmm__json_texts *texts, FILE *out)
{
    fwrite(texts->line, 1, texts->line_bytes, out);
    texts->line_bytes = 0;
}

const char *bmm__json_take_line(struct bmm__json_texts *texts)
{
    *room_for(texts, 1) = 0;
    texts->line_bytes = 0;
    return texts->line;
}

/* ---- frames ---- */

void bmm__json_put_place(struct bmm__json_texts *texts, const struct bmm__frame *frame)
{
    bmm__json_put(texts, "\"function\":");
    bmm__json_put(texts, bmm__json_text(texts, frame->function));
    bmm__json_put(texts, ",\"file\":");
    bmm__json_put(texts, bmm__json_text(texts, frame->file));
    bmm__json_put(texts, ",\"line\":");
    if (frame->line != 0)
        bmm__json_put_number(texts, frame->line);
    else
        bmm__json_put(texts, "null");
    bmm__json_put(texts, ",\"module\":");
    bmm__json_put(texts, bmm__json_text(texts, frame->module));
}

void bmm__json_write_frames(struct bmm__json_texts *texts, FILE *out, const struct bmm__stack *stack)
{
    for (uint32_t i = 0; i < stack->count; i++) {
        const struct bmm__frame *frame = stack->frames[i];
        bool is_new;
        uint32_t number = bmm__map_put(&texts->numbers, (uintptr_t)frame, 0, texts->numbers.count, &is_new);
        if (!is_new)
            continue;
        char offset[40];
        snprintf(offset, sizeof offset, ",\"offset\":\"0x%" PRIx64 "\"", frame->offset);
        bmm__json_put(texts, number == 0 ? "\n{" : ",\n{");
        bmm__json_put_place(texts, frame);
        bmm__json_put(texts, offset);
        bmm__json_put(texts, frame->is_inlined ? ",\"inlined\":true}" : "}");
        bmm__json_write_line(texts, out);
    }
}

static uint32_t number_of(struct bmm__json_texts *texts, const struct bmm__frame *frame)
{
    bool is_new;
    return bmm__map_put(&texts->numbers, (uintptr_t)frame, 0, 0, &is_new);
}

void bmm__json_put_stack(struct bmm__json_texts *texts, const struct bmm__stack *stack)
{
    char *at = room_for(texts, (size_t)stack->count * NUMBER_BYTES + 2);
    *at++ = '[';
    for (uint32_t i = 0; i < stack->count; i++) {
        if (i > 0)
            *at++ = ',';
        at = put_digits(at, number_of(texts, stack->frames[i]));
    }
    *at++ = ']';
    texts->line_bytes = (uint32_t)(at - texts->line);
}
