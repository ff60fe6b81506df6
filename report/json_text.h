/* What stands in a JSON report again and again, printed once: texts, frames, and stacks as places in the list of frames.
 *
 * Words. *Printed*: as it stands in the file. Texts are interned (P2 of report.h), so that an address is enough to know one
 * again.
 */
#ifndef BMM_REPORT_JSON_TEXT_H
#define BMM_REPORT_JSON_TEXT_H

#include "report/frame.h"
#include "report/map.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

/* A frame's place in the list of frames, printed after a comma. */
struct bmm__json_place {
    char text[11];
    uint8_t bytes;
};

/* A text as a string, with its quotes. */
struct bmm__json_printed {
    char *text;
    uint32_t bytes;
};

/* All zero knows nothing yet. */
struct bmm__json_texts {
    struct bmm__map known; /* address of a text → place in printed */
    struct bmm__json_printed *printed;
    uint32_t printed_capacity;
    struct bmm__map numbers; /* address of a frame → its place in the list of frames */
    struct bmm__json_place *places;
    uint32_t place_capacity;
    struct bmm__map stacks; /* address of a stack → where its frames' places begin in `sequence` */
    uint32_t *sequence;
    uint32_t sequence_count, sequence_capacity;
    char *line; /* what is put together, and not written yet */
    uint32_t line_bytes, line_capacity;
};

void bmm__json_texts_free(struct bmm__json_texts *texts);

/* The object printed, and deleted; the caller frees the text. */
char *bmm__json_print(cJSON *object);

/* ---- a line: put together, then written at once ---- */

/* bmm__json_room where there is too little. */
void bmm__json_make_room(struct bmm__json_texts *texts, size_t bytes);

/* Where the next bytes belong, of which there may be so many. */
static inline char *bmm__json_room(struct bmm__json_texts *texts, size_t bytes)
{
    if (texts->line_capacity - texts->line_bytes < bytes)
        bmm__json_make_room(texts, bytes);
    return texts->line + texts->line_bytes;
}

/* As it is. Inline: of most the length is known. */
static inline void bmm__json_put_bytes(struct bmm__json_texts *texts, const char *printed, size_t bytes)
{
    memcpy(bmm__json_room(texts, bytes), printed, bytes);
    texts->line_bytes += (uint32_t)bytes;
}

static inline __attribute__((always_inline)) void bmm__json_put(struct bmm__json_texts *texts, const char *printed)
{
    bmm__json_put_bytes(texts, printed, strlen(printed));
}

/* A string, or null for NULL. */
void bmm__json_put_text(struct bmm__json_texts *texts, const char *text);
void bmm__json_put_number(struct bmm__json_texts *texts, uint64_t number);

/* A frame's members function, file, line and module. */
void bmm__json_put_place(struct bmm__json_texts *texts, const struct bmm__frame *frame);

/* The array of the places of a stack's frames, which were written. */
void bmm__json_put_stack(struct bmm__json_texts *texts, const struct bmm__stack *stack);

void bmm__json_write_line(struct bmm__json_texts *texts, FILE *out);

/* What was put together, which is not written: stays until more is put. */
const char *bmm__json_take_line(struct bmm__json_texts *texts);

/* ---- ---- */

/* Writes those frames of the stack that were not written before: each a line of the list of frames. */
void bmm__json_write_frames(struct bmm__json_texts *texts, FILE *out, const struct bmm__stack *stack);

#endif
