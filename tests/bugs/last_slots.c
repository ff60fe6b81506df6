/* A program that may have no more memory frees a block, and asks for another of that size. Spans that were full were looked at again only
 * when an eighth of their slots was free: until then there was none to be had, of 46 MB that were free. */
// with: libbrainmm
// stdout: one at a time: yes
// stdout: all that were freed: yes
// stdout: what another thread freed: yes
#define _GNU_SOURCE
#include "limits.h"

#include <pthread.h>
#include <stdio.h>

enum { LIMIT = 200 << 20, MOST = 4 << 20, ROUNDS = 3, SIZES = 5 };
static const size_t sizes[SIZES] = { 16, 100, 1000, 3000, 20000 };
static void *blocks[MOST];
static size_t count;

static size_t free_each(size_t step)
{
    size_t freed = 0;
    for (size_t i = 0; i < count; i += step, freed++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
    return freed;
}

static size_t fill_gaps(size_t size)
{
    size_t filled = 0;
    for (size_t i = 0; i < count; i++)
        filled += blocks[i] == NULL && (blocks[i] = malloc(size)) != NULL;
    return filled;
}

static void *free_as_another(void *context)
{
    *(size_t *)context = free_each(20);
    return NULL;
}

int main(int argument_count, char **arguments)
{
    if (begin_under(RLIMIT_AS, LIMIT, argument_count, arguments))
        return 1;
    bool one = true, all = true, others = true;
    for (int s = 0; s < SIZES; s++) {
        size_t size = sizes[s], freed;
        void *stack = malloc(9 << 20); /* room for the thread's */
        for (count = 0; count < MOST && (blocks[count] = malloc(size)) != NULL;)
            count++;
        for (size_t i = 0; i < count; i += count / 100) {
            free(blocks[i]);
            blocks[i] = malloc(size);
            one &= blocks[i] != NULL;
        }
        for (int round = 0; round < ROUNDS; round++) {
            freed = free_each(30 + (size_t)round);
            all &= fill_gaps(size) == freed;
        }
        free(stack);
        pthread_t thread;
        freed = 0;
        if (pthread_create(&thread, NULL, free_as_another, &freed) == 0)
            pthread_join(thread, NULL);
        others &= freed != 0 && fill_gaps(size) >= freed - freed / 10;
        free_each(1);
    }
    printf("one at a time: %s\n", one ? "yes" : "no");
    printf("all that were freed: %s\n", all ? "yes" : "no");
    printf("what another thread freed: %s\n", others ? "yes" : "no");
    return 0;
}
