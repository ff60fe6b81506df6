/* A process may have so much private memory (ulimit -d). What it has freed it can have again: the descriptors for smaller
 * spans, which a process under a limit gets, need memory too, and found none when all was mapped for blocks. And what is
 * mapped ahead leaves room for a block that is a mapping of its own. */
// with: libbrainmm
// stdout: 40 MiB: yes
// stdout: as much in each round
#define _GNU_SOURCE
#include "limits.h"

#include <stdio.h>

enum { LIMIT = 100 << 20, ROUNDS = 4 };

int main(int count, char **arguments)
{
    if (begin_under(RLIMIT_DATA, LIMIT, count, arguments))
        return 1;
    void *small = malloc(16), *large = malloc(40 << 20);
    printf("40 MiB: %s\n", small != NULL && large != NULL ? "yes" : "no");
    free(large);
    free(small);
    size_t first = fill_and_free(LIMIT), least = first;
    for (int i = 1; i < ROUNDS; i++) {
        size_t blocks = fill_and_free(LIMIT);
        least = blocks < least ? blocks : least;
    }
    if (first > LIMIT / BLOCK * 4 / 5 && least >= first)
        puts("as much in each round");
    else
        printf("%zu blocks at first, %zu later\n", first, least);
    return 0;
}
