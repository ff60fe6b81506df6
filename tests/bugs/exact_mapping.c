/* A large block that takes nearly all of the address space that a process may have can be had again when it was freed. It was asked for
 * where a huge page could begin, for which there was no room. And blocks of some MiB get most of it: arenas had room for one each, and
 * 7 MB that were of no use. */
// with: libbrainmm
// stdout: each time
// stdout: and most of it in blocks of 9 MB
#define _GNU_SOURCE
#include "limits.h"

#include <stdio.h>

enum { LIMIT = 200 << 20, ROUNDS = 5, MIDDLE = 9000000 };

int main(int count, char **arguments)
{
    if (begin_under(RLIMIT_AS, LIMIT, count, arguments))
        return 1;
    size_t bytes = LIMIT;
    void *block;
    while (bytes != 0 && (block = malloc(bytes)) == NULL)
        bytes -= 100000;
    int had = 1;
    for (; had <= ROUNDS && block != NULL; had++) {
        free(block);
        block = malloc(bytes);
    }
    if (had == ROUNDS + 1 && bytes > LIMIT / 2)
        puts("each time");
    else
        printf("%zu bytes %d times\n", bytes, had - 1);
    free(block);
    size_t got = 0;
    while (malloc(MIDDLE) != NULL)
        got += MIDDLE;
    if (got > LIMIT / 10 * 8)
        puts("and most of it in blocks of 9 MB");
    else
        printf("%zu bytes of blocks of 9 MB\n", got);
    return 0;
}
