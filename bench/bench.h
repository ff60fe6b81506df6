/* What every workload shares.
 *
 * A *workload* is a program that does a fixed amount of work, named by its parameters, and prints a *checksum*: the
 * same for every allocator, so that nothing can be optimised away and no damaged block goes unseen. *Stamp*: what is
 * written into a block's first and last byte when it is made, and looked for before it is freed.
 *
 * Workloads call malloc and free by their own names. How long single calls take is measured by other programs, linked
 * from the same object files with latency.c around those names, so that measuring does not disturb the race. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BENCH_LINE_BYTES = 64 };

/* One of a program's parameters, given on the command line as name=value. The table ends with a NULL name. */
struct bench_parameter {
    const char *name;
    unsigned long value; /* the default, until bench_begin */
    int is_scaled;       /* grows and shrinks with work=PERCENT, which every program understands (default 100) */
};

/* Reads the command line into the table. Ends the program with status 2 and a usage line on an unknown name. */
void bench_begin(int argument_count, char **arguments, struct bench_parameter *parameters);

/* Prints the checksum; the status for main to return. */
int bench_end(uint64_t checksum);

/* Says what is wrong and ends the program with status 3. */
#ifdef __cplusplus
[[noreturn]]
#else
_Noreturn
#endif
void bench_fail(const char *what);

/* The same numbers on every machine. A state of its own for each thread. */
struct bench_random {
    uint64_t state;
};

static inline uint32_t bench_random_next(struct bench_random *random)
{
    random->state = random->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((random->state ^ random->state >> 29) >> 32);
}

/* Evenly from 0 to bound - 1. */
static inline uint32_t bench_random_below(struct bench_random *random, uint32_t bound)
{
    return (uint32_t)((uint64_t)bench_random_next(random) * bound >> 32);
}

/* Evenly from least to most, both included. */
static inline size_t bench_random_between(struct bench_random *random, size_t least, size_t most)
{
    return least + bench_random_below(random, (uint32_t)(most - least + 1));
}

/* A block that its owner can check. memory is NULL when there is none. */
struct bench_block {
    unsigned char *memory;
    size_t size; /* bytes, at least 1 */
};

/* Stamps memory of that size; ends the program if it is NULL. */
static inline struct bench_block bench_block_stamp(void *memory, size_t size)
{
    if (!memory)
        bench_fail("out of memory");
    struct bench_block block = { (unsigned char *)memory, size };
    block.memory[0] = (unsigned char)size;
    block.memory[size - 1] = (unsigned char)size;
    return block;
}

/* Allocates and stamps. */
static inline struct bench_block bench_block_make(size_t size)
{
    return bench_block_stamp(malloc(size), size);
}

/* Ends the program if the stamp is damaged. */
static inline void bench_block_check(const struct bench_block *block)
{
    if (block->memory[0] != (unsigned char)block->size || block->memory[block->size - 1] != (unsigned char)block->size)
        bench_fail("a block is damaged");
}

/* Checks the stamp and frees; nothing when there is no block. Any thread may. Returns the size it had, or 0. */
static inline size_t bench_block_drop(struct bench_block *block)
{
    if (!block->memory)
        return 0;
    bench_block_check(block);
    free(block->memory);
    block->memory = NULL;
    return block->size;
}

/* Runs body(i, context) in threads i = 0 … count - 1 and waits for all; the sum of what they return. */
uint64_t bench_run_threads(unsigned long count, uint64_t (*body)(unsigned long i, void *context), void *context);

/* Memory that does not come from the allocator under test, zeroed, for the harness's own tables. */
void *bench_map(size_t bytes);

/* Nanoseconds of the processor's time this process has used, all threads. */
uint64_t bench_cpu_ns(void);

/* Bytes of this process that are resident. */
size_t bench_resident_bytes(void);

#ifdef __cplusplus
}
#endif

#endif
