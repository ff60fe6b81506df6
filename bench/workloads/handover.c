/* Producers make blocks, consumers free them, and no block is freed by the thread that made it (after Lever and Boreham
 * 2000). The blocks travel in batches through a queue that holds a few of them.
 *
 * pairs: of one producer and one consumer each. batches: by each producer. blocks: in a batch. least, most: size. */
#include "../bench.h"
#include <pthread.h>

enum { PAIRS, BATCHES, BLOCKS, LEAST, MOST };
static struct bench_parameter parameters[] = {
    [PAIRS] = { "pairs", 1, 0 },  [BATCHES] = { "batches", 12000, 1 }, [BLOCKS] = { "blocks", 1000, 0 },
    [LEAST] = { "least", 16, 0 }, [MOST] = { "most", 256, 0 },         { NULL, 0, 0 },
};

enum { QUEUE_BATCHES = 8 };

/* Guarded by its lock. A batch is an array of blocks, itself a block made by the producer. */
static struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct bench_block *batches[QUEUE_BATCHES];
    unsigned first, count;
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void put(struct bench_block *batch)
{
    pthread_mutex_lock(&queue.lock);
    while (queue.count == QUEUE_BATCHES)
        pthread_cond_wait(&queue.changed, &queue.lock);
    queue.batches[(queue.first + queue.count++) % QUEUE_BATCHES] = batch;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
}

static struct bench_block *take(void)
{
    pthread_mutex_lock(&queue.lock);
    while (queue.count == 0)
        pthread_cond_wait(&queue.changed, &queue.lock);
    struct bench_block *batch = queue.batches[queue.first];
    queue.first = (queue.first + 1) % QUEUE_BATCHES;
    queue.count--;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
    return batch;
}

static uint64_t produce(struct bench_random random)
{
    for (unsigned long n = 0; n < parameters[BATCHES].value; n++) {
        struct bench_block *batch = malloc(parameters[BLOCKS].value * sizeof *batch);
        if (!batch)
            bench_fail("out of memory");
        for (unsigned long i = 0; i < parameters[BLOCKS].value; i++)
            batch[i] = bench_block_make(bench_random_between(&random, parameters[LEAST].value, parameters[MOST].value));
        put(batch);
    }
    return 0;
}

static uint64_t consume(void)
{
    uint64_t bytes = 0;
    for (unsigned long n = 0; n < parameters[BATCHES].value; n++) {
        struct bench_block *batch = take();
        for (unsigned long i = 0; i < parameters[BLOCKS].value; i++)
            bytes += bench_block_drop(&batch[i]);
        free(batch);
    }
    return bytes;
}

static uint64_t run(unsigned long i, void *context)
{
    (void)context;
    return i % 2 == 0 ? produce((struct bench_random){ i }) : consume();
}

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    return bench_end(bench_run_threads(2 * parameters[PAIRS].value, run, NULL));
}
