/* Random replacement of large blocks, as a program that loads images: allocated, one byte in every page written, freed
 * much later.
 *
 * threads: each with a set of its own. live: blocks of a set. operations: replacements by each thread. least_mib,
 * most_mib: size. */
#include "../bench.h"

enum { THREADS, LIVE, OPERATIONS, LEAST_MIB, MOST_MIB };
static struct bench_parameter parameters[] = {
    [THREADS] = { "threads", 1, 0 },     [LIVE] = { "live", 20, 0 },         [OPERATIONS] = { "operations", 1000, 1 },
    [LEAST_MIB] = { "least_mib", 5, 0 }, [MOST_MIB] = { "most_mib", 25, 0 }, { NULL, 0, 0 },
};

enum { TOUCH_BYTES = 4096 };

static uint64_t replace(unsigned long i, void *context)
{
    (void)context;
    uint32_t live = (uint32_t)parameters[LIVE].value;
    size_t least = parameters[LEAST_MIB].value << 20, most = parameters[MOST_MIB].value << 20;
    struct bench_random random = { i };
    struct bench_block *blocks = bench_map(live * sizeof *blocks);
    uint64_t sum = 0;
    for (unsigned long n = 0; n < parameters[OPERATIONS].value; n++) {
        struct bench_block *block = &blocks[bench_random_below(&random, live)];
        sum += bench_block_drop(block);
        *block = bench_block_make(bench_random_between(&random, least, most));
        for (size_t offset = TOUCH_BYTES; offset < block->size - 1; offset += TOUCH_BYTES)
            block->memory[offset] = (unsigned char)n;
        sum += block->memory[block->size / 2 / TOUCH_BYTES * TOUCH_BYTES];
    }
    for (uint32_t n = 0; n < live; n++)
        sum += bench_block_drop(&blocks[n]);
    return sum;
}

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    return bench_end(bench_run_threads(parameters[THREADS].value, replace, NULL));
}
