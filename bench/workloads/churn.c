/* Threads that come and go, hundreds a second, and free all that they made, but for a little that the next generation
 * frees. Nothing leaks: neither may the allocator, whose peak of memory should not depend on generations.
 *
 * threads: at a time. generations. blocks: made by each thread. least, most: size. */
#include "../bench.h"

enum { THREADS, GENERATIONS, BLOCKS, LEAST, MOST };
static struct bench_parameter parameters[] = {
    [THREADS] = { "threads", 4, 0 }, [GENERATIONS] = { "generations", 4000, 1 },
    [BLOCKS] = { "blocks", 500, 0 }, [LEAST] = { "least", 16, 0 },
    [MOST] = { "most", 2048, 0 },    { NULL, 0, 0 },
};

enum { HEIRLOOMS = 8 };
static unsigned long generation;
static struct bench_block *heirlooms;

static uint64_t live(unsigned long i, void *context)
{
    (void)context;
    unsigned long count = parameters[BLOCKS].value;
    struct bench_random random = { generation << 16 | i };
    struct bench_block *mine = &heirlooms[i * HEIRLOOMS];
    struct bench_block *blocks = malloc(count * sizeof *blocks);
    if (!blocks)
        bench_fail("out of memory");
    uint64_t sum = 0;
    for (unsigned long n = 0; n < HEIRLOOMS; n++)
        sum += bench_block_drop(&mine[n]);
    for (unsigned long n = 0; n < count; n++)
        blocks[n] = bench_block_make(bench_random_between(&random, parameters[LEAST].value, parameters[MOST].value));
    for (unsigned long n = 0; n < count; n++) {
        if (n < HEIRLOOMS)
            mine[n] = blocks[n];
        else
            sum += bench_block_drop(&blocks[n]);
    }
    free(blocks);
    return sum;
}

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    if (parameters[BLOCKS].value < HEIRLOOMS)
        bench_fail("too few blocks");
    unsigned long heirloom_count = parameters[THREADS].value * HEIRLOOMS;
    heirlooms = bench_map(heirloom_count * sizeof *heirlooms);
    uint64_t sum = 0;
    for (; generation < parameters[GENERATIONS].value; generation++)
        sum += bench_run_threads(parameters[THREADS].value, live, NULL);
    for (unsigned long n = 0; n < heirloom_count; n++)
        sum += bench_block_drop(&heirlooms[n]);
    return bench_end(sum);
}
