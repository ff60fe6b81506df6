/* Threads that have nothing to do with each other: random replacement in a small set, sizes as programs ask for them,
 * each about as often as it is small. The idea is glibc's own bench-malloc-thread.
 *
 * threads. live: blocks of a thread. operations: replacements by each thread. least, most: size. */
#include "../bench.h"

enum { THREADS, LIVE, OPERATIONS, LEAST, MOST };
static struct bench_parameter parameters[] = {
    [THREADS] = { "threads", 2, 0 }, [LIVE] = { "live", 1024, 0 },  [OPERATIONS] = { "operations", 30000000, 1 },
    [LEAST] = { "least", 4, 0 },     [MOST] = { "most", 32768, 0 }, { NULL, 0, 0 },
};

enum { SIZES = 8192 };

static uint64_t replace(unsigned long i, void *context)
{
    (void)context;
    uint32_t live = (uint32_t)parameters[LIVE].value;
    struct bench_random random = { i };
    struct bench_block *blocks = bench_map(live * sizeof *blocks);
    /* Drawn beforehand. least / u for an even u between least / most and 1 has the density 1 / size². */
    uint32_t *sizes = bench_map(SIZES * sizeof *sizes);
    double shortest = (double)parameters[LEAST].value / (double)parameters[MOST].value;
    for (size_t n = 0; n < SIZES; n++) {
        double even = shortest + (1 - shortest) * bench_random_next(&random) / UINT32_MAX;
        sizes[n] = (uint32_t)((double)parameters[LEAST].value / even);
    }
    uint64_t sum = 0;
    for (unsigned long n = 0; n < parameters[OPERATIONS].value; n++) {
        struct bench_block *block = &blocks[bench_random_below(&random, live)];
        sum += bench_block_drop(block);
        *block = bench_block_make(sizes[n % SIZES]);
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
