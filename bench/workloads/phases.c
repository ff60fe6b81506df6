/* A program that works in phases: threads come, build up a lot, throw most of it away, and go; what survives is handed
 * to the threads of a later phase, which free some of it. Small blocks, with arrays of many between them.
 *
 * threads: of a phase. phases. rounds: of building up and throwing away, by each thread. items: built up in a round. */
#include "../bench.h"
#include <string.h>

enum { THREADS, PHASES, ROUNDS, ITEMS };
static struct bench_parameter parameters[] = {
    [THREADS] = { "threads", 2, 0 },
    [PHASES] = { "phases", 25, 1 },
    [ROUNDS] = { "rounds", 25, 0 },
    [ITEMS] = { "items", 10000, 0 },
    { NULL, 0, 0 },
};

enum { WORD_BYTES = sizeof(uint64_t), SURVIVORS = 1000 };

/* What is handed on. A block's first word is its number of words, every other that number and its index. */
static uint64_t *survivors[SURVIVORS];

static uint64_t *make(struct bench_random *random)
{
    size_t words = 1 + bench_random_below(random, 16);
    if (bench_random_below(random, 100) == 0)
        words *= 50;
    else if (bench_random_below(random, 1000) == 0)
        words *= 500;
    uint64_t *block = calloc(words, WORD_BYTES);
    if (!block)
        bench_fail("out of memory");
    for (size_t i = 0; i < words; i++) {
        if (block[i] != 0)
            bench_fail("calloc gave what was not zero");
        block[i] = i == 0 ? words : words ^ i;
    }
    return block;
}

static void drop(uint64_t *block)
{
    if (!block)
        return;
    for (size_t i = 1; i < block[0]; i++)
        if (block[i] != (block[0] ^ i))
            bench_fail("a block is damaged");
    free(block);
}

static uint64_t live_and_die(unsigned long i, void *context)
{
    unsigned long phase = *(unsigned long *)context, items = parameters[ITEMS].value;
    struct bench_random random = { phase << 16 | i };
    uint64_t sum = 0;
    uint64_t **kept = NULL;
    size_t kept_count = 0, kept_max = 0;
    for (unsigned long round = 0; round < parameters[ROUNDS].value; round++) {
        uint64_t **built = malloc(items * sizeof *built);
        if (!built)
            bench_fail("out of memory");
        for (unsigned long n = 0; n < items; n++) {
            built[n] = make(&random);
            sum += built[n][0];
            if (n > 0 && bench_random_below(&random, 2) == 0) {
                uint64_t **other = &built[bench_random_below(&random, (uint32_t)n)];
                drop(*other);
                *other = NULL;
            }
        }
        for (unsigned long n = 0; n < items; n++) {
            uint32_t fate = bench_random_below(&random, 100);
            if (fate == 0 && built[n]) {
                uint64_t **place = &survivors[bench_random_below(&random, SURVIVORS)];
                built[n] = __atomic_exchange_n(place, built[n], __ATOMIC_ACQ_REL);
            } else if (fate <= 5 && built[n]) {
                if (kept_count == kept_max) {
                    kept_max = kept_max ? 2 * kept_max : 8;
                    kept = realloc(kept, kept_max * sizeof *kept);
                    if (!kept)
                        bench_fail("out of memory");
                }
                kept[kept_count++] = built[n];
                built[n] = NULL;
            }
            drop(built[n]);
        }
        free(built);
    }
    while (kept_count > 0)
        drop(kept[--kept_count]);
    free(kept);
    return sum;
}

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    uint64_t sum = 0;
    for (unsigned long phase = 0; phase < parameters[PHASES].value; phase++) {
        sum += bench_run_threads(parameters[THREADS].value, live_and_die, &phase);
        /* Before the next phase half of the survivors are freed by a thread that made none of them. */
        for (size_t i = phase % 2; i < SURVIVORS; i += 2) {
            drop(survivors[i]);
            survivors[i] = NULL;
        }
    }
    for (size_t i = 0; i < SURVIVORS; i++)
        drop(survivors[i]);
    return bench_end(sum);
}
