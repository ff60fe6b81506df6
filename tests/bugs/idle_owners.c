/* Threads that free all they have, or whose blocks others free, and sleep: each kept, of every size, the span that it allocated from
 * last, which was all there was. What is free goes back while another thread works. */
// with: libbrainmm
// stdout: its owners freed it: given back
// stdout: others freed it: given back
// stdout: each freed a half: given back
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 50, BLOCKS = 100, LEAST = 10000, MOST = 30000, MAY_STAY = 25 /* MB, of some 100 */ };
enum { OWNERS, OTHERS, BOTH };
static const char *const names[] = { "its owners freed it", "others freed it", "each freed a half" };
static char *blocks[THREADS][BLOCKS];
static pthread_barrier_t barrier;
static int who;

static long resident_mb(void)
{
    long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &size, &pages) != 2)
        abort();
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE) / 1000000;
}

static void free_every_other(char **mine, int first, int step)
{
    for (int i = first; i < BLOCKS; i += step)
        free(mine[i]);
}

static void *own(void *context)
{
    char **mine = context;
    for (int i = 0; i < BLOCKS; i++) {
        size_t size = LEAST + (size_t)i * 7919 % (MOST - LEAST);
        mine[i] = memset(malloc(size), 1, size);
    }
    pthread_barrier_wait(&barrier);
    if (who != OTHERS)
        free_every_other(mine, 0, who == BOTH ? 2 : 1);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* sleeps */
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (who = OWNERS; who <= BOTH; who++) {
        for (int i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, own, blocks[i]);
        pthread_barrier_wait(&barrier);
        long full = resident_mb(), left = full;
        pthread_barrier_wait(&barrier);
        for (int i = 0; who != OWNERS && i < THREADS; i++)
            free_every_other(blocks[i], who == BOTH ? 1 : 0, who == BOTH ? 2 : 1);
        for (int i = 0; i < 500 && (left = resident_mb()) > MAY_STAY; i++) {
            for (size_t size = 16; size < 2000; size += 16)
                free(malloc(size));
            nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
        }
        if (full > 80 && left <= MAY_STAY)
            printf("%s: given back\n", names[who]);
        else
            printf("%s: of %ld MB there are %ld left\n", names[who], full, left);
        pthread_barrier_wait(&barrier);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    return 0;
}
