/* Large blocks that grow by realloc, several side by side, as the buffers of a program that reads streams: each by a
 * half when it is full, what is new is written. A buffer that has reached its end is freed or, every second time,
 * shrunk to what is used.
 *
 * threads: each with buffers of its own. buffers: side by side. streams: read by each thread. least_kib, most_kib: a
 * buffer's first and last size. */
#include "../bench.h"
#include <string.h>

enum { THREADS, BUFFERS, STREAMS, LEAST_KIB, MOST_KIB };
static struct bench_parameter parameters[] = {
    [THREADS] = { "threads", 1, 0 },      [BUFFERS] = { "buffers", 8, 0 },       [STREAMS] = { "streams", 150, 1 },
    [LEAST_KIB] = { "least_kib", 40, 0 }, [MOST_KIB] = { "most_kib", 20000, 0 }, { NULL, 0, 0 },
};

struct buffer {
    struct bench_block block;
    size_t size_max;
    int is_shrunk;
};

/* The stamp at the end moves with it. */
static void resize(struct buffer *buffer, size_t size)
{
    size_t size_before = buffer->block.size;
    bench_block_check(&buffer->block);
    unsigned char *memory = realloc(buffer->block.memory, size);
    if (memory && size > size_before) {
        if (memory[size_before - 1] != (unsigned char)size_before)
            bench_fail("realloc lost something");
        memset(memory + size_before, (int)size, size - size_before);
    }
    buffer->block = bench_block_stamp(memory, size);
}

static uint64_t read_streams(unsigned long i, void *context)
{
    (void)context;
    uint32_t count = (uint32_t)parameters[BUFFERS].value;
    size_t least = parameters[LEAST_KIB].value * 1024, most = parameters[MOST_KIB].value * 1024;
    struct bench_random random = { i };
    struct buffer *buffers = bench_map(count * sizeof *buffers);
    uint64_t sum = 0;
    for (unsigned long streams = 0; streams < parameters[STREAMS].value;) {
        struct buffer *buffer = &buffers[bench_random_below(&random, count)];
        if (!buffer->block.memory) {
            buffer->block = bench_block_make(least);
            buffer->size_max = bench_random_between(&random, most / 2, most);
            buffer->is_shrunk = 0;
            streams++;
        } else if (buffer->block.size < buffer->size_max && !buffer->is_shrunk) {
            resize(buffer, buffer->block.size + buffer->block.size / 2);
        } else if (!buffer->is_shrunk && streams % 2 == 0) {
            buffer->is_shrunk = 1;
            resize(buffer, buffer->size_max / 3);
        } else {
            sum += bench_block_drop(&buffer->block);
        }
    }
    for (uint32_t b = 0; b < count; b++)
        sum += bench_block_drop(&buffers[b].block);
    return sum;
}

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    return bench_end(bench_run_threads(parameters[THREADS].value, read_streams, NULL));
}
