#include "report/json_text.h"

#include "report/arena.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES 11 /* of a frame in a stack, with the comma */

void bmm__json_texts_free(struct bmm__json_texts *texts)
{
    for (uint32_t i = 0; i < texts->known.count; i++)
        free(texts->printed[i]);
    bmm__map_free(&texts->known);
    free(texts->printed);
    bmm__map_free(&texts->numbers);
    free(texts->stack);
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

char *bmm__json_number(char *end, uint64_t number)
{
    *--end = 0;
    do
        *--end = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return end;
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

/* ---- frames ---- */

void bmm__json_put_place(struct bmm__json_texts *texts, FILE *out, const struct bmm__frame *frame)
{
    char line[24];
    fputs("\"function\":", out);
    fputs(bmm__json_text(texts, frame->function), out);
    fputs(",\"file\":", out);
    fputs(bmm__json_text(texts, frame->file), out);
    fputs(",\"line\":", out);
    fputs(frame->line != 0 ? bmm__json_number(line + sizeof line, frame->line) : "null", out);
    fputs(",\"module\":", out);
    fputs(bmm__json_text(texts, frame->module), out);
}

void bmm__json_put_frames(struct bmm__json_texts *texts, FILE *out, const struct bmm__stack *stack)
{
    for (uint32_t i = 0; i < stack->count; i++) {
        const struct bmm__frame *frame = stack->frames[i];
        bool is_new;
        uint32_t number = bmm__map_put(&texts->numbers, (uintptr_t)frame, 0, texts->numbers.count, &is_new);
        if (!is_new)
            continue;
        fputs(number == 0 ? "\n{" : ",\n{", out);
        bmm__json_put_place(texts, out, frame);
        fprintf(out, ",\"offset\":\"0x%" PRIx64 "\"%s}", frame->offset, frame->is_inlined ? ",\"inlined\":true" : "");
    }
}

static uint32_t number_of(struct bmm__json_texts *texts, const struct bmm__frame *frame)
{
    bool is_new;
    return bmm__map_put(&texts->numbers, (uintptr_t)frame, 0, 0, &is_new);
}

const char *bmm__json_stack(struct bmm__json_texts *texts, const struct bmm__stack *stack)
{
    texts->stack = bmm__grow(texts->stack, &texts->stack_capacity, (size_t)stack->count * NUMBER_BYTES + 3, 1);
    char *at = texts->stack;
    *at++ = '[';
    for (uint32_t i = 0; i < stack->count; i++) {
        char digits[NUMBER_BYTES + 1], *end = digits + sizeof digits;
        const char *number = bmm__json_number(end, number_of(texts, stack->frames[i]));
        if (i > 0)
            *at++ = ',';
        while (*number != 0)
            *at++ = *number++;
    }
    memcpy(at, "]", 2);
    return texts->stack;
}
