/* See guard.h. Works in words where it can; a word's bytes are those of its eight addresses. */
#include "guard.h"

#include "core/os.h"

#include <string.h>

static uint64_t secret = 0x5bd1e9955bd1e995u; /* replaced at open, constant afterwards */

void bmm__guard_open(void)
{
    secret = bmm__os_random();
}

static inline uint64_t guard_word(uintptr_t address)
{
    uint64_t x = ((uint64_t)(address >> 3) + secret) * 0x9e3779b97f4a7c15u; /* + and not ^: a loop then only adds */
    x ^= x >> 29;
    return (x | 0x8080808080808080u) & 0xfefefefefefefefeu;
}

uint8_t bmm__guard_byte(uintptr_t address)
{
    uint64_t word = guard_word(address);
    uint8_t bytes[8];
    memcpy(bytes, &word, 8);
    return bytes[address & 7];
}

/* Bytes of the word at start that lie before end; 8: the whole word. */
static inline size_t part_of_word(uintptr_t start, uintptr_t end)
{
    size_t to_word_end = 8 - (start & 7);
    return end - start < to_word_end ? end - start : to_word_end;
}

static uintptr_t lay_part(uintptr_t start, uintptr_t end)
{
    size_t bytes = part_of_word(start, end);
    uint64_t word = guard_word(start);
    memcpy((void *)start, (const char *)&word + (start & 7), bytes);
    return start + bytes;
}

void bmm__guard_lay(uintptr_t start, uintptr_t end)
{
    if (start < end && (start & 7) != 0)
        start = lay_part(start, end);
    for (; start + 8 <= end; start += 8) {
        uint64_t word = guard_word(start);
        memcpy((void *)start, &word, 8);
    }
    if (start < end)
        lay_part(start, end);
}

static bool is_part_intact(uintptr_t *start, uintptr_t end)
{
    size_t bytes = part_of_word(*start, end);
    uint64_t word = guard_word(*start);
    uintptr_t at = *start;
    *start += bytes;
    return memcmp((const void *)at, (const char *)&word + (at & 7), bytes) == 0;
}

bool bmm__guard_is_intact(uintptr_t start, uintptr_t end)
{
    if (start < end && (start & 7) != 0 && !is_part_intact(&start, end))
        return false;
    uint64_t difference = 0;
    for (; start + 8 <= end; start += 8) {
        uint64_t found;
        memcpy(&found, (const void *)start, 8);
        difference |= found ^ guard_word(start);
    }
    return difference == 0 && (start >= end || is_part_intact(&start, end));
}

void bmm__changed_add(struct bmm_snapshot_changed *changed, uint32_t *listed, int64_t offset, uint8_t expected,
                      uint8_t found)
{
    if (*listed < BMM_ERROR_CHANGED_MAX)
        changed[(*listed)++] = (struct bmm_snapshot_changed){ .offset = offset, .expected = expected, .found = found };
}

uint32_t bmm__guard_changes(uintptr_t start, uintptr_t end, uintptr_t block, struct bmm_snapshot_changed *changed,
                            uint32_t *listed)
{
    uint32_t count = 0;
    for (uintptr_t at = start; at < end; at++) {
        uint8_t expected = bmm__guard_byte(at);
        uint8_t found = *(const uint8_t *)at;
        if (found != expected) {
            count++;
            bmm__changed_add(changed, listed, (int64_t)(at - block), expected, found);
        }
    }
    return count;
}
