/* How much memory 100 MB of useful memory take (the original's MemoryUsageTest): blocks of one size, each written to
 * whole, resident set before and after. A process for each size.
 *
 *     value mb_per_100 102.4
 *
 * size: of a block. mebibytes: of useful memory. */
#include "../bench.h"
#include <stdio.h>
#include <string.h>

enum { SIZE, MEBIBYTES };
static struct bench_parameter parameters[] = {
    [SIZE] = { "size", 64, 0 },
    [MEBIBYTES] = { "mebibytes", 100, 0 },
    { NULL, 0, 0 },
};

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    size_t size = parameters[SIZE].value, count = (parameters[MEBIBYTES].value << 20) / size;
    /* The table is resident before the first look, so it does not count. */
    void **blocks = bench_map(count * sizeof *blocks);
    memset(blocks, 1, count * sizeof *blocks);
    size_t before = bench_resident_bytes();
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        if (!blocks[i])
            bench_fail("out of memory");
        memset(blocks[i], (int)i, size);
    }
    size_t after = bench_resident_bytes();
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += *(unsigned char *)blocks[i];
        free(blocks[i]);
    }
    printf("value mb_per_100 %.1f\n", (double)(after - before) * 100 / (double)(size * count));
    return bench_end(sum);
}
