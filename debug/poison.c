/* See poison.h. */
#include "poison.h"

#include "guard.h"

#include <string.h>

#define FILL_BYTE 0xf1
#define NUMBER_BYTES 6u

uint64_t bmm__poison_word(uintptr_t block)
{
    uint64_t number = block >> 4, word = (uint64_t)0xdead << 48;
    for (unsigned byte = 0; byte < NUMBER_BYTES; byte++)
        word |= (0x80 | (number >> 7 * byte & 0x7f)) << 8 * byte;
    return word;
}

uintptr_t bmm__poison_block(uint64_t word)
{
    uint64_t number = 0;
    for (unsigned byte = 0; byte < NUMBER_BYTES; byte++)
        number |= (word >> 8 * byte & 0x7f) << 7 * byte;
    return (uintptr_t)number << 4;
}

static size_t poisoned_bytes(size_t size)
{
    return size < BMM__POISON_BYTES_MAX ? size : BMM__POISON_BYTES_MAX;
}

void bmm__poison_fill(uintptr_t start, size_t bytes)
{
    memset((void *)start, FILL_BYTE, poisoned_bytes(bytes));
}

void bmm__poison_lay(uintptr_t block, size_t size)
{
    uint64_t word = bmm__poison_word(block);
    size_t bytes = poisoned_bytes(size);
    size_t i = 0;
    for (; i + 8 <= bytes; i += 8)
        memcpy((char *)block + i, &word, 8);
    memcpy((char *)block + i, &word, bytes - i);
}

bool bmm__poison_is_intact(uintptr_t block, size_t size)
{
    uint64_t word = bmm__poison_word(block);
    size_t bytes = poisoned_bytes(size);
    uint64_t difference = 0;
    size_t i = 0;
    for (; i + 8 <= bytes; i += 8) {
        uint64_t found;
        memcpy(&found, (const char *)block + i, 8);
        difference |= found ^ word;
    }
    return difference == 0 && memcmp((const char *)block + i, &word, bytes - i) == 0;
}

uint32_t bmm__poison_changes(uintptr_t block, size_t size, struct bmm_snapshot_changed *changed, uint32_t *listed)
{
    uint64_t word = bmm__poison_word(block);
    uint8_t expected[8];
    memcpy(expected, &word, 8);
    uint32_t count = 0;
    size_t bytes = poisoned_bytes(size);
    for (size_t i = 0; i < bytes; i++) {
        uint8_t found = ((const uint8_t *)block)[i];
        if (found != expected[i & 7]) {
            count++;
            bmm__changed_add(changed, listed, (int64_t)i, expected[i & 7], found);
        }
    }
    return count;
}
