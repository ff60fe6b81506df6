#include "report/strings.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the valid UTF-8 sequence at text, 0 if there is none. */
static size_t sequence_bytes(const unsigned char *text, size_t left)
{
    unsigned char first = text[0];
    size_t bytes = first < 0x80                    ? 1
                   : first >= 0xc2 && first < 0xe0 ? 2
                   : first >= 0xe0 && first < 0xf0 ? 3
                   : first >= 0xf0 && first < 0xf5 ? 4
                                                   : 0;
    if (bytes == 0 || bytes > left)
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if (bytes == 3 && ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] >= 0xa0)))
        return 0; /* overlong, surrogate */
    if (bytes == 4 && ((first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] >= 0x90)))
        return 0; /* overlong, beyond U+10FFFF */
    return bytes;
}

static bool is_utf8(const char *text, size_t bytes)
{
    size_t plain = 0; /* bytes of ASCII at its start, which is nearly always all of it */
    for (uint64_t word; bytes - plain >= sizeof word; plain += sizeof word) {
        memcpy(&word, text + plain, sizeof word);
        if ((word & 0x8080808080808080u) != 0)
            break;
    }
    for (size_t i = plain, step; i < bytes; i += step) {
        step = sequence_bytes((const unsigned char *)text + i, bytes - i);
        if (step == 0)
            return false;
    }
    return true;
}

static const char *intern_repaired(struct bmm__strings *strings, const char *text, size_t bytes)
{
    char *repaired = bmm__must_alloc(3 * bytes + 1);
    size_t used = 0;
    for (size_t i = 0; i < bytes;) {
        size_t step = sequence_bytes((const unsigned char *)text + i, bytes - i);
        if (step == 0) {
            memcpy(repaired + used, "\xef\xbf\xbd", 3);
            used += 3;
            i += 1;
        } else {
            memcpy(repaired + used, text + i, step);
            used += step;
            i += step;
        }
    }
    const char *result = bmm__intern_bytes(strings, repaired, used);
    free(repaired);
    return result;
}

const char *bmm__intern_bytes(struct bmm__strings *strings, const char *text, size_t bytes)
{
    if (!is_utf8(text, bytes))
        return intern_repaired(strings, text, bytes);
    uint64_t hash = bmm__hash(BMM__HASH_SEED, text, bytes);
    for (uint64_t collision = 0;; collision++) {
        bool is_new;
        uint32_t index = bmm__map_put(&strings->map, hash, bytes ^ collision << 40, strings->count, &is_new);
        if (is_new) {
            strings->texts =
                bmm__grow(strings->texts, &strings->capacity, (size_t)strings->count + 1, sizeof *strings->texts);
            strings->texts[strings->count++] = bmm__arena_text(strings->arena, text, bytes);
        }
        const char *known = strings->texts[index];
        if (strlen(known) == bytes && memcmp(known, text, bytes) == 0)
            return known;
        if (is_new) /* a NUL inside the text: its head is what can be kept */
            return known;
    }
}

const char *bmm__intern(struct bmm__strings *strings, const char *text)
{
    return text == NULL ? NULL : bmm__intern_bytes(strings, text, strlen(text));
}

void bmm__strings_free(struct bmm__strings *strings)
{
    bmm__map_free(&strings->map);
    free(strings->texts);
    strings->texts = NULL;
    strings->count = strings->capacity = 0;
}
