/* Random sizes with linear fall-off: the larger, the rarer. Each thread makes a burst of blocks and frees a burst of
 * those it finds, of its own or, now and then, of whatever another thread has put down.
 *
 * threads. live: blocks of a thread, about. operations: blocks made by each thread. least, most: size.
 * crossing: of 100 bursts, how many change hands. */
#include "../bench.h"

enum { THREADS, LIVE, OPERATIONS, LEAST, MOST, CROSSING };
static struct bench_parameter parameters[] = {
    [THREADS] = { "threads", 2, 0 },
    [LIVE] = { "live", 16000, 0 },
    [OPERATIONS] = { "operations", 4000000, 1 },
    [LEAST] = { "least", 16, 0 },
    [MOST] = { "most", 16384, 0 },
    [CROSSING] = { "crossing", 50, 0 },
    { NULL, 0, 0 },
};

enum { BURST = 100, PLACES = 8 };

/* A burst that waits for whoever comes by. */
static struct burst {
    struct bench_block blocks[BURST];
} * places[PLACES];

/* The lesser of two even numbers falls off linearly. */
static size_t size_of_next(struct bench_random *random, size_t least, size_t most)
{
    size_t a = bench_random_between(random, least, most), b = bench_random_between(random, least, most);
    return a < b ? a : b;
}

static uint64_t make_and_free(unsigned long i, void *context)
{
    (void)context;
    struct bench_random random = { i };
    uint32_t burst_count = (uint32_t)(parameters[LIVE].value / BURST);
    struct burst **bursts = bench_map(burst_count * sizeof *bursts);
    uint64_t sum = 0;
    for (uint32_t b = 0; b < burst_count; b++)
        bursts[b] = bench_map(sizeof **bursts);
    for (unsigned long made = 0; made < parameters[OPERATIONS].value; made += BURST) {
        struct burst **burst = &bursts[bench_random_below(&random, burst_count)];
        if (bench_random_below(&random, 100) < parameters[CROSSING].value) {
            struct burst **place = &places[bench_random_below(&random, PLACES)];
            *burst = __atomic_exchange_n(place, *burst, __ATOMIC_ACQ_REL);
            if (!*burst)
                *burst = bench_map(sizeof **burst);
        }
        for (size_t n = 0; n < BURST; n++) {
            struct bench_block *block = &(*burst)->blocks[n];
            bench_block_drop(block);
            *block = bench_block_make(size_of_next(&random, parameters[LEAST].value, parameters[MOST].value));
            sum += block->size;
        }
    }
    for (uint32_t b = 0; b < burst_count; b++)
        for (size_t n = 0; n < BURST; n++)
            bench_block_drop(&bursts[b]->blocks[n]);
    return sum;
}

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    uint64_t sum = bench_run_threads(parameters[THREADS].value, make_and_free, NULL);
    for (size_t i = 0; i < PLACES; i++)
        for (size_t n = 0; places[i] && n < BURST; n++)
            bench_block_drop(&places[i]->blocks[n]);
    return bench_end(sum);
}
