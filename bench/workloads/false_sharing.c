/* Do blocks of different threads share a cache line? *Active*: the allocator gives pieces of one line to threads that
 * ask at the same time. *Passive*: each thread first frees a block that the main thread made beside the others', and
 * may get the very same place again. Then every thread writes to its block many times. After Berger et al. (Hoard,
 * 2000).
 *
 * threads. passive: 0 or 1. blocks: made, written to and freed by each thread. size. writes: to each block. */
#include "../bench.h"

enum { THREADS, PASSIVE, BLOCKS, SIZE, WRITES };
static struct bench_parameter parameters[] = {
    [THREADS] = { "threads", 2, 0 }, [PASSIVE] = { "passive", 0, 0 },  [BLOCKS] = { "blocks", 200000, 1 },
    [SIZE] = { "size", 8, 0 },       [WRITES] = { "writes", 1000, 0 }, { NULL, 0, 0 },
};

static uint64_t write_much(unsigned long i, void *context)
{
    struct bench_block *inherited = context;
    uint64_t sum = 0;
    if (inherited)
        bench_block_drop(&inherited[i]);
    for (unsigned long n = 0; n < parameters[BLOCKS].value; n++) {
        struct bench_block block = bench_block_make(parameters[SIZE].value);
        volatile unsigned char *bytes = block.memory;
        bytes[0] = 0;
        for (unsigned long w = 0; w < parameters[WRITES].value; w++)
            bytes[0] = (unsigned char)(bytes[0] + 1);
        sum += bytes[0];
        bench_block_stamp(block.memory, block.size);
        bench_block_drop(&block);
    }
    return sum;
}

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    struct bench_block *blocks = NULL;
    if (parameters[PASSIVE].value) {
        blocks = bench_map(parameters[THREADS].value * sizeof *blocks);
        for (unsigned long i = 0; i < parameters[THREADS].value; i++)
            blocks[i] = bench_block_make(parameters[SIZE].value);
    }
    return bench_end(bench_run_threads(parameters[THREADS].value, write_much, blocks));
}
