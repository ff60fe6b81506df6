/* Interned strings: equal texts are one pointer, for as long as the arena lives. */
#ifndef BMM_REPORT_STRINGS_H
#define BMM_REPORT_STRINGS_H

#include "report/arena.h"
#include "report/map.h"

#include <stddef.h>

struct bmm__strings {
    struct bmm__arena *arena; /* where the texts are kept */
    struct bmm__map map;      /* (hash, length) with the collision number mixed in → index in texts */
    const char **texts;
    uint32_t count, capacity;
};

/* The one copy of the text; NULL gives NULL. Bytes that are no UTF-8 become U+FFFD, so that every format can carry
 * what a program had in its arguments and file names. */
const char *bmm__intern(struct bmm__strings *strings, const char *text);
const char *bmm__intern_bytes(struct bmm__strings *strings, const char *text, size_t bytes);
void bmm__strings_free(struct bmm__strings *strings);

#endif
