/* bmm_move16 against memmove, in one process: each size moved to other memory, and to where it overlaps by three quarters or
 * all but 64 bytes. Prints a table and ends with
 *
 *     median ratio N, highest N      (of bmm_move16's time to memmove's; of all rows and columns)
 *
 * A *run* is as many moves of one kind as make a few hundredths of a millisecond. A *round* is the quickest of some runs of
 * either function, which take turns; a ratio is the median over the rounds of the ratio in each, for the machine may be slow for a
 * while, but not for one function alone. Moves up to 4 KiB wander through 16 KiB, lest each wait for what the last one stored.
 *
 * rounds: of each row and column. runs: of each function in a round. */
#include "bench.h"

#include "brainmm/brainmm.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ROUNDS, RUNS };
static struct bench_parameter parameters[] = {
    [ROUNDS] = { "rounds", 11, 1 },
    [RUNS] = { "runs", 4, 0 },
    { NULL, 0, 0 },
};

enum {
    ROUNDS_MAX = 1000,
    LINE = BENCH_LINE_BYTES,
    WANDER_BYTES = 16 << 10,
    RUN_BYTES = 8 << 20,
    MEMORY_BYTES = 4 << 20
};

static const size_t sizes[] = { 64,   80,   96,   128,  208,   256,   336,   400,    512,    768,    1024,   1200,
                                2048, 3008, 4096, 8192, 16384, 32768, 65536, 100000, 131072, 262144, 524288, 1048576 };
enum { SIZES = sizeof sizes / sizeof *sizes };

/* Where dest begins, seen from source; apart: behind source's end. */
enum { APART, DOWN_QUARTER, UP_QUARTER, DOWN_LINE, UP_LINE, WAYS };
static const char *const way_names[] = { "apart", "down by 1/4", "up by 1/4", "down by 64 B", "up by 64 B" };

static unsigned char *memory;

struct kind {
    size_t bytes, to, from; /* the first move: places in the memory */
    size_t step, steps;     /* how far the next one is, and after how many the first comes again */
    size_t moves;           /* in a run */
};

static struct kind kind_of(size_t bytes, int way)
{
    size_t quarter = bytes / 4 / 16 * 16, far = way == APART ? bytes + LINE - bytes % LINE : LINE;
    if (way == DOWN_QUARTER || way == UP_QUARTER)
        far = quarter;
    struct kind kind = { .bytes = bytes, .step = (far + bytes + 2 * LINE) / LINE * LINE };
    *(way == DOWN_QUARTER || way == DOWN_LINE ? &kind.from : &kind.to) = far;
    kind.steps = bytes <= 4096 && WANDER_BYTES > kind.step ? WANDER_BYTES / kind.step : 1;
    kind.moves = RUN_BYTES / (bytes < 256 ? 256 : bytes);
    return kind;
}

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* A run: nanoseconds for each move. The same for either function, to the last instruction. */
#define DEFINE_RUN(name, type, function, argument) \
    static type *volatile name##_function = function; \
    __attribute__((noinline, aligned(64))) static double name(const struct kind *kind) \
    { \
        unsigned char *to = memory + kind->to, *from = memory + kind->from, *end = to + kind->steps * kind->step; \
        type *move = name##_function; \
        size_t amount = argument, step = kind->step, back = kind->steps * step; \
        double start = now_ns(); \
        for (size_t left = kind->moves; left != 0; left--) { \
            move(to, from, amount); \
            to += step, from += step; \
            if (to == end) \
                to -= back, from -= back; \
        } \
        return (now_ns() - start) / (double)kind->moves; \
    }
typedef void move_of_ours(void *dest, const void *source, size_t count16);
typedef void *move_of_libc(void *dest, const void *source, size_t bytes);
DEFINE_RUN(run_move16, move_of_ours, bmm_move16, kind->bytes / 16)
DEFINE_RUN(run_memmove, move_of_libc, memmove, kind->bytes)

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

struct result {
    double move16_ns, memmove_ns, ratio;
};

static struct result race(const struct kind *kind)
{
    static double ratios[ROUNDS_MAX], ours[ROUNDS_MAX], theirs[ROUNDS_MAX];
    size_t rounds = parameters[ROUNDS].value;
    for (size_t round = 0; round < rounds; round++) {
        ours[round] = theirs[round] = 1e300;
        for (unsigned long i = 0; i < parameters[RUNS].value; i++) {
            double theirs_ns = i % 2 == 0 ? run_memmove(kind) : 0, ours_ns = run_move16(kind);
            if (i % 2 != 0)
                theirs_ns = run_memmove(kind);
            ours[round] = ours_ns < ours[round] ? ours_ns : ours[round];
            theirs[round] = theirs_ns < theirs[round] ? theirs_ns : theirs[round];
        }
        ratios[round] = ours[round] / theirs[round];
    }
    return (struct result){ median(ours, rounds), median(theirs, rounds), median(ratios, rounds) };
}

int main(int argument_count, char **arguments)
{
    static double ratios[SIZES * WAYS];
    size_t count = 0;
    bench_begin(argument_count, arguments, parameters);
    if (parameters[ROUNDS].value < 1 || parameters[ROUNDS].value > ROUNDS_MAX || parameters[RUNS].value < 1)
        bench_fail("rounds must be from 1 to 1000, and runs not 0");
    memory = bench_map(MEMORY_BYTES);
    memset(memory, 1, MEMORY_BYTES);
    printf("| bytes |");
    for (int way = 0; way < WAYS; way++)
        printf(" %s: ratio, ns : ns |", way_names[way]);
    printf("\n|--:|--:|--:|--:|--:|--:|\n");
    for (size_t i = 0; i < SIZES; i++) {
        printf("| %zu |", sizes[i]);
        for (int way = 0; way < WAYS; way++) {
            struct kind kind = kind_of(sizes[i], way);
            struct result result = race(&kind);
            printf(" **%.2f**, %.1f : %.1f |", result.ratio, result.move16_ns, result.memmove_ns);
            fflush(stdout);
            ratios[count++] = result.ratio;
        }
        printf("\n");
    }
    double middle = median(ratios, count);
    printf("median ratio %.3f, highest %.3f\n", middle, ratios[count - 1]);
    return 0;
}
