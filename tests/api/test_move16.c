/* bmm_move16 against a copy that was made before: every count, every overlap, and nothing around it touched or read. */
#include "tests/plain.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "brainmm/brainmm.h"

enum { UNIT = 16, GUARD = 64, NEAR = 40, COUNT = 600, LARGE = 3 << 20 };

/* What memory holds before a move, after it, and what it ought to hold. The start of each is a multiple of 4096. */
static _Alignas(4096) unsigned char before[LARGE], moved[LARGE], expected[LARGE];

static void fill(void)
{
    uint64_t state = 1;
    for (size_t i = 0; i < LARGE; i++) {
        state = state * UINT64_C(6364136223846793005) + 1;
        before[i] = (unsigned char)(state >> 56);
    }
    memcpy(moved, before, LARGE);
    memcpy(expected, before, LARGE);
}

/* Moves bytes from one place in the memory to another; whether that did what it should and nothing else, between first and end,
 * which are further out. Then the memory is as it was. */
static bool is_right(size_t to, size_t from, size_t bytes, size_t first, size_t end)
{
    memcpy(expected + to, before + from, bytes);
    bmm_move16(moved + to, moved + from, bytes / UNIT);
    bool is = memcmp(moved + first, expected + first, end - first) == 0;
    memcpy(moved + first, before + first, end - first);
    memcpy(expected + to, before + to, bytes);
    if (!is)
        printf("  %zu bytes from %zu to %zu\n", bytes, from, to);
    return is;
}

PLAIN_TEST(every_count_with_every_small_overlap)
{
    fill();
    bool is_good = true;
    for (size_t count = 0; count <= COUNT && is_good; count++)
        for (size_t offset = 0; offset < 4; offset++) /* of the source from a line of the cache */
            for (size_t far = 0; far <= 2 * NEAR && is_good; far++) {
                if (count > 100 && (count + far) % 4 != offset) /* one of the four */
                    continue;
                size_t from = GUARD + (NEAR + offset) * UNIT, to = from + far * UNIT - NEAR * UNIT;
                size_t end = (from > to ? from : to) + count * UNIT + GUARD;
                is_good = is_right(to, from, count * UNIT, 0, end);
            }
    PLAIN_CHECK(is_good);
}

/* Around the sizes at which it goes on in another way, at distances around those at which directions change. */
PLAIN_TEST(long_moves)
{
    static const size_t sizes[] = { 256, 272, 384, 400, 4096, 4112, 65536, 100000, 1 << 20, (1 << 20) + 48 };
    static const size_t distances[] = { 0,    16,   32,   48,   240,   256,     4080,
                                        4096, 4112, 4336, 4352, 65536, 1 << 20, (1 << 20) + 64 };
    fill();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof distances / sizeof *distances; k++)
            for (size_t low = GUARD; low <= GUARD + UNIT; low += UNIT) {
                size_t high = low + distances[k], end = high + sizes[i] + GUARD;
                PLAIN_CHECK(is_right(low, high, sizes[i], 0, end) && is_right(high, low, sizes[i], 0, end));
            }
}

/* A byte beyond would fault. */
PLAIN_TEST(nothing_outside_is_read)
{
    enum { PAGE = 65536 };
    unsigned char *memory = mmap(NULL, 5 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    PLAIN_CHECK(memory != MAP_FAILED);
    unsigned char *one = memory + PAGE, *other = memory + 3 * PAGE;
    PLAIN_CHECK(mprotect(one, PAGE, PROT_READ | PROT_WRITE) == 0 && mprotect(other, PAGE, PROT_READ | PROT_WRITE) == 0);
    for (size_t count = 0; count <= PAGE / UNIT; count += count < 200 ? 1 : 37) {
        size_t bytes = count * UNIT;
        memset(one, 0, PAGE);
        memset(other, (int)(count % 255) + 1, PAGE);
        bmm_move16(one + PAGE - bytes, other, count);
        PLAIN_CHECK(memcmp(one + PAGE - bytes, other, bytes) == 0);
        bmm_move16(one, other + PAGE - bytes, count);
        PLAIN_CHECK(memcmp(one, other, bytes) == 0);
    }
    munmap(memory, 5 * PAGE);
}

PLAIN_TEST(no_units_need_no_memory)
{
    bmm_move16(NULL, NULL, 0);
}

PLAIN_TEST(blocks_of_the_heap)
{
    unsigned char *p = bmm_malloc(5000 * UNIT);
    for (size_t i = 0; i < 5000 * UNIT; i++)
        p[i] = (unsigned char)(i / UNIT);
    bmm_move16(p + UNIT, p, 4999);
    for (size_t i = UNIT; i < 5000 * UNIT; i++)
        PLAIN_CHECK(p[i] == (unsigned char)(i / UNIT - 1));
    bmm_free(p);
}
