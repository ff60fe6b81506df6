/* A process may have so much address space (ulimit -v). What it has freed as small blocks it can have again as a large one: what
 * lay outside the window kept its addresses for small blocks for ever. So it can have the stacks of threads, a little later; and blocks keep what is written in them while others trim. */
// with: libbrainmm
// stdout: a large block after small ones: yes, each time
// stdout: as many small ones each time
// stdout: threads: as they were written
#define _GNU_SOURCE
#include "limits.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

enum { LIMIT = 200 << 20, LARGE = 20 << 20, ROUNDS = 5 };
enum { THREADS = 3, BLOCKS = 24, STEPS = 6000, MOST = 3 << 20 };
static atomic_int running = THREADS, wrong;

static void *work(void *context)
{
    uint64_t state = (uintptr_t)context;
    struct {
        unsigned char *start;
        size_t size;
    } blocks[BLOCKS] = { { NULL, 0 } };
    for (int step = 0; step < STEPS; step++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        int i = (int)((state >> 33) % BLOCKS);
        if (blocks[i].start != NULL) {
            unsigned char mark = (unsigned char)blocks[i].size;
            wrong += blocks[i].start[0] != mark || blocks[i].start[blocks[i].size - 1] != mark;
            free(blocks[i].start);
        }
        size_t align = (size_t)16 << (state >> 40) % 18;
        blocks[i].size = 1 + (size_t)(state >> 20) % (size_t)MOST;
        blocks[i].start = step + BLOCKS < STEPS ? aligned_alloc(align, blocks[i].size) : NULL;
        if (blocks[i].start == NULL)
            continue;
        wrong += (uintptr_t)blocks[i].start % align != 0;
        blocks[i].start[0] = blocks[i].start[blocks[i].size - 1] = (unsigned char)blocks[i].size;
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i].start);
    running--;
    return NULL;
}

int main(int count, char **arguments)
{
    if (begin_under(RLIMIT_AS, LIMIT, count, arguments))
        return 1;
    size_t most = 0, least = SIZE_MAX, large = 0;
    for (int i = 0; i < ROUNDS; i++) {
        size_t blocks = fill_and_free(LIMIT);
        most = blocks > most ? blocks : most;
        least = blocks < least ? blocks : least;
        void *block = malloc(LARGE);
        large += block != NULL;
        free(block);
    }
    if (large == ROUNDS)
        puts("a large block after small ones: yes, each time");
    else
        printf("a large block after small ones: %zu of %d times\n", large, ROUNDS);
    if (least > LIMIT / BLOCK / 2 && least >= most - most / 20)
        puts("as many small ones each time");
    else
        printf("%zu to %zu small ones\n", least, most);
    pthread_t threads[THREADS];
    uintptr_t started = 0;
    for (int i = 0; i < 500 && started < THREADS; i++) { /* room for their stacks comes by itself */
        free(malloc((size_t)i * 16));
        if (pthread_create(&threads[started], NULL, work, (void *)(started + 1)) == 0) /* NOLINT: a number */
            started++;
        else
            usleep(10000);
    }
    if (started < THREADS)
        return 1;
    while (running != 0)
        malloc_trim(0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("threads: %s\n", wrong == 0 ? "as they were written" : "wrong");
    return 0;
}
