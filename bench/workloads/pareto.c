/* Random replacement in a large live set, with sizes after Pareto: four of five requests fall into the smallest fifth
 * of the classes, and so on within them. Every block is written to whole, a random one is read after each step: what
 * it costs that neighbours in memory are not neighbours in time.
 *
 * threads: each with a set of its own. live: slots of a set, half of them full. operations: by each thread.
 * least, most: size. */
#include "../bench.h"
#include <string.h>

enum { THREADS, LIVE, OPERATIONS, LEAST, MOST };
static struct bench_parameter parameters[] = {
    [THREADS] = { "threads", 1, 0 }, [LIVE] = { "live", 100000, 0 }, [OPERATIONS] = { "operations", 12000000, 1 },
    [LEAST] = { "least", 16, 0 },    [MOST] = { "most", 1024, 0 },   { NULL, 0, 0 },
};

static size_t pareto(struct bench_random *random, size_t least, size_t most)
{
    size_t range = most - least;
    while (range >= 16 && bench_random_below(random, 5) != 0)
        range /= 5;
    return least + bench_random_below(random, (uint32_t)range + 1);
}

static uint64_t replace(unsigned long i, void *context)
{
    (void)context;
    uint32_t live = (uint32_t)parameters[LIVE].value;
    struct bench_random random = { i };
    struct bench_block *blocks = bench_map(live * sizeof *blocks);
    uint64_t sum = 0;
    for (unsigned long n = 0; n < parameters[OPERATIONS].value; n++) {
        struct bench_block *block = &blocks[bench_random_below(&random, live)];
        if (block->memory) {
            sum += bench_block_drop(block);
        } else {
            size_t size = pareto(&random, parameters[LEAST].value, parameters[MOST].value);
            void *memory = malloc(size);
            if (memory)
                memset(memory, (int)n, size);
            *block = bench_block_stamp(memory, size);
        }
        const struct bench_block *other = &blocks[bench_random_below(&random, live)];
        if (other->memory)
            sum += other->memory[0];
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
