/* Programs that run under a limit from their start. */
#ifndef BMM_TESTS_LIMITS_H
#define BMM_TESTS_LIMITS_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { BLOCK = 1000 };

/* The program once more, with as many bytes of the resource; false: this is it. */
static inline bool begin_under(int resource, rlim_t bytes, int count, char **arguments)
{
    if (count != 1)
        return false;
    setrlimit((__typeof__(RLIMIT_AS))resource, &(struct rlimit){ bytes, bytes });
    execl("/proc/self/exe", arguments[0], "under", (char *)NULL);
    return true;
}

/* How many small blocks there are, of so many bytes together at most; they are written to, and freed. */
static inline size_t fill_and_free(size_t bytes)
{
    size_t count = 0;
    void **first = NULL, **block;
    while (count < bytes / BLOCK && (block = malloc(BLOCK)) != NULL) {
        memset(block, 1, BLOCK);
        *block = first;
        first = block;
        count++;
    }
    for (; first != NULL; first = block) {
        block = *first;
        free(first);
    }
    return count;
}

#endif
