/* Loops whose instructions are counted (bench/count), not timed: the same loop twice, for different numbers of
 * steps, and the difference is what a step costs, the loop and the calls included.
 *
 * loop: 0 hot, 1 in_order, 2 in_reverse, 3 random_small, 4 random_medium, 5 realloc_step, 6 calloc, 7 deep (hot pairs DEPTH
 * frames down, in turn from three places two frames apart: what stacks cost).
 * steps: pairs of malloc and free (realloc_step: calls of realloc). Rounded up to whole rounds of the loop. */
#include "../bench.h"

enum { LOOP, STEPS };
static struct bench_parameter parameters[] = {
    [LOOP] = { "loop", 0, 0 },
    [STEPS] = { "steps", 1000000, 1 },
    { NULL, 0, 0 },
};

enum {
    HOT_BYTES = 48,
    ROUND = 1000,
    ROUND_BYTES = 64,
    SMALL_LIVE = 10000,
    SMALL_LEAST = 16,
    SMALL_MOST = 1024,
    MEDIUM_LIVE = 1000,
    MEDIUM_LEAST = 1024,
    MEDIUM_MOST = 32768,
    GROWTH_BYTES = 24,
    GROWTH_MOST = 2400,
    CALLOC_BYTES = 96,
    DEPTH = 20,
};

/* Without a look whether there is memory: the loop should be as little as can be. */
static void *touched(void *memory)
{
    *(volatile unsigned char *)memory = 1;
    return memory;
}

static uint64_t hot(unsigned long steps)
{
    for (unsigned long i = 0; i < steps; i++)
        free(touched(malloc(HOT_BYTES)));
    return steps;
}

static uint64_t in_order(unsigned long steps)
{
    static void *blocks[ROUND];
    for (unsigned long made = 0; made < steps; made += ROUND) {
        for (size_t i = 0; i < ROUND; i++)
            blocks[i] = touched(malloc(ROUND_BYTES));
        for (size_t i = 0; i < ROUND; i++)
            free(blocks[i]);
    }
    return steps;
}

static uint64_t in_reverse(unsigned long steps)
{
    static void *blocks[ROUND];
    for (unsigned long made = 0; made < steps; made += ROUND) {
        for (size_t i = 0; i < ROUND; i++)
            blocks[i] = touched(malloc(ROUND_BYTES));
        void **block = blocks + ROUND;
        do
            free(*--block);
        while (block != blocks);
    }
    return steps;
}

static uint64_t random_pairs(unsigned long steps, uint32_t live, size_t least, size_t most)
{
    struct bench_random random = { 1 };
    void **blocks = bench_map(live * sizeof *blocks);
    for (uint32_t i = 0; i < live; i++)
        blocks[i] = touched(malloc(bench_random_between(&random, least, most)));
    for (unsigned long i = 0; i < steps; i++) {
        void **block = &blocks[bench_random_below(&random, live)];
        free(*block);
        *block = touched(malloc(bench_random_between(&random, least, most)));
    }
    for (uint32_t i = 0; i < live; i++)
        free(blocks[i]);
    return steps;
}

static uint64_t random_small(unsigned long steps)
{
    return random_pairs(steps, SMALL_LIVE, SMALL_LEAST, SMALL_MOST);
}

static uint64_t random_medium(unsigned long steps)
{
    return random_pairs(steps, MEDIUM_LIVE, MEDIUM_LEAST, MEDIUM_MOST);
}

static uint64_t realloc_step(unsigned long steps)
{
    for (unsigned long made = 0; made < steps; made += GROWTH_MOST / GROWTH_BYTES) {
        void *memory = NULL;
        for (size_t size = GROWTH_BYTES; size <= GROWTH_MOST; size += GROWTH_BYTES)
            memory = touched(realloc(memory, size));
        free(memory);
    }
    return steps;
}

static uint64_t calloc_pair(unsigned long steps)
{
    for (unsigned long i = 0; i < steps; i++)
        free(touched(calloc(1, CALLOC_BYTES)));
    return steps;
}

/* Frames that the compiler cannot join. */
#define FRAME __attribute__((noinline))
#define FRAME_ENDS __asm__ volatile("" : : : "memory")

FRAME static void *allocate(void)
{
    void *memory = malloc(HOT_BYTES);
    FRAME_ENDS;
    return touched(memory);
}

FRAME static void pair_of_other(void)
{
    free(allocate());
    FRAME_ENDS;
}

FRAME static uint64_t at_depth(unsigned long steps, unsigned depth)
{
    if (depth > 2) {
        uint64_t done = at_depth(steps, depth - 1);
        FRAME_ENDS;
        return done;
    }
    for (unsigned long made = 0; made < steps; made += 3) {
        free(allocate());
        free(allocate());
        pair_of_other();
    }
    return steps;
}

static uint64_t deep(unsigned long steps)
{
    return at_depth(steps, DEPTH);
}

static uint64_t (*const loops[])(unsigned long steps) = {
    hot, in_order, in_reverse, random_small, random_medium, realloc_step, calloc_pair, deep,
};

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    if (parameters[LOOP].value >= sizeof loops / sizeof loops[0])
        bench_fail("no such loop");
    return bench_end(loops[parameters[LOOP].value](parameters[STEPS].value));
}
