/* A server bleeding objects between threads, after Larson and Krishnan (1998): each thread replaces random objects of
 * a set for a while, ends, and leaves the set to a new thread, so that most blocks are freed by another thread than
 * the one that made them, which may be gone. Ever so often a set changes hands between living threads, too.
 *
 * threads: at a time. live: objects in a set. generations: how many threads one after another. operations: replacements
 * by one thread. least, most: size of an object. */
#include "../bench.h"

enum { THREADS, LIVE, GENERATIONS, OPERATIONS, LEAST, MOST };
static struct bench_parameter parameters[] = {
    [THREADS] = { "threads", 2, 0 },
    [LIVE] = { "live", 5000, 0 },
    [GENERATIONS] = { "generations", 80, 1 },
    [OPERATIONS] = { "operations", 100000, 0 },
    [LEAST] = { "least", 8, 0 },
    [MOST] = { "most", 1000, 0 },
    { NULL, 0, 0 },
};

enum { PARTS = 16 };

struct set {
    struct bench_block *blocks;
};

/* Where sets change hands: whoever comes puts one down and takes the one that lies there. */
static struct bench_block *counter;

struct generation {
    struct set *sets;
    unsigned long number;
};

static uint64_t serve(unsigned long i, void *context)
{
    struct generation *generation = context;
    unsigned long live = parameters[LIVE].value, operations = parameters[OPERATIONS].value;
    struct bench_random random = { generation->number << 16 | i };
    struct bench_block *blocks = generation->sets[i].blocks;
    uint64_t bytes = 0;
    for (unsigned long part = 0; part < PARTS; part++) {
        for (unsigned long n = 0; n < operations / PARTS; n++) {
            struct bench_block *block = &blocks[bench_random_below(&random, (uint32_t)live)];
            bench_block_drop(block);
            *block = bench_block_make(bench_random_between(&random, parameters[LEAST].value, parameters[MOST].value));
            bytes += block->size;
        }
        blocks = __atomic_exchange_n(&counter, blocks, __ATOMIC_ACQ_REL);
    }
    generation->sets[i].blocks = blocks;
    return bytes;
}

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    unsigned long threads = parameters[THREADS].value, live = parameters[LIVE].value;
    struct generation generation = { bench_map(threads * sizeof *generation.sets), 0 };
    struct bench_random random = { 1998 };
    for (unsigned long s = 0; s <= threads; s++) {
        struct bench_block *blocks = bench_map(live * sizeof *blocks);
        for (unsigned long i = 0; i < live; i++)
            blocks[i] =
                bench_block_make(bench_random_between(&random, parameters[LEAST].value, parameters[MOST].value));
        if (s == threads)
            counter = blocks;
        else
            generation.sets[s].blocks = blocks;
    }
    uint64_t bytes = 0;
    while (generation.number++ < parameters[GENERATIONS].value)
        bytes += bench_run_threads(threads, serve, &generation);
    for (unsigned long s = 0; s <= threads; s++)
        for (unsigned long i = 0; i < live; i++)
            bench_block_drop(s == threads ? &counter[i] : &generation.sets[s].blocks[i]);
    return bench_end(bytes);
}
