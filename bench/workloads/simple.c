/* One thread, one size after another: so many blocks made, then freed, first made first; for few blocks and for many.
 * The idea is glibc's own bench-malloc-simple.
 *
 * operations: blocks made for each size and each number of blocks. */
#include "../bench.h"

enum { OPERATIONS };
static struct bench_parameter parameters[] = {
    [OPERATIONS] = { "operations", 800000, 1 },
    { NULL, 0, 0 },
};

static const size_t sizes[] = { 8, 16, 32, 48, 64, 96, 128, 256, 512, 1024, 2048, 4096 };
static const unsigned long counts[] = { 25, 100, 400, 1600 };
enum { SIZE_COUNT = sizeof sizes / sizeof sizes[0], COUNT_COUNT = sizeof counts / sizeof counts[0], COUNT_MAX = 1600 };

int main(int argument_count, char **arguments)
{
    static struct bench_block blocks[COUNT_MAX];
    bench_begin(argument_count, arguments, parameters);
    uint64_t sum = 0;
    for (size_t s = 0; s < SIZE_COUNT; s++) {
        for (size_t c = 0; c < COUNT_COUNT; c++) {
            for (unsigned long made = 0; made < parameters[OPERATIONS].value; made += counts[c]) {
                for (unsigned long i = 0; i < counts[c]; i++)
                    blocks[i] = bench_block_make(sizes[s]);
                for (unsigned long i = 0; i < counts[c]; i++)
                    sum += bench_block_drop(&blocks[i]);
            }
        }
    }
    return bench_end(sum);
}
