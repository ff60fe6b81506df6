/* Leaks 1,000,000 blocks from 10,000 stacks, 100 from each, and writes the time at which it was done to a file.
 *
 * Ten functions call each other by the digits of a number: four digits are 10,000 ways, and below them are frames
 * enough for stacks as deep as those of real programs. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DIGITS 4
#define FRAMES_BELOW 12
#define STACKS 10000
#define BLOCKS_OF_STACK 100

static void *volatile last; /* stored behind a call: it is not the last thing a function does, so no jump */

typedef void step(unsigned path, unsigned digits_left, unsigned size);
static step *const steps[10];

#define STEP(name) \
    __attribute__((noinline)) static void name(unsigned path, unsigned digits_left, unsigned size) \
    { \
        if (digits_left == 0) \
            last = malloc(size); \
        else \
            steps[path % 10](path / 10, digits_left - 1, size); \
        last = NULL; \
    }
STEP(zero)
STEP(one)
STEP(two)
STEP(three)
STEP(four)
STEP(five)
STEP(six)
STEP(seven)
STEP(eight)
STEP(nine)
static step *const steps[10] = { zero, one, two, three, four, five, six, seven, eight, nine };

__attribute__((noinline)) static void below(unsigned frames, unsigned path, unsigned size)
{
    if (frames > 0)
        below(frames - 1, path, size);
    else
        zero(path, DIGITS, size);
    last = NULL;
}

int main(int count, char **arguments)
{
    for (unsigned round = 0; round < BLOCKS_OF_STACK; round++)
        for (unsigned path = 0; path < STACKS; path++)
            below(FRAMES_BELOW, path, 1 + path % 200);
    FILE *file = count > 1 ? fopen(arguments[1], "w") : NULL;
    if (file == NULL)
        return 1;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    fprintf(file, "%lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    return fclose(file) != 0;
}
