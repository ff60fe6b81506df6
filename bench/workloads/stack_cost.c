/* What a stack costs: blocks allocated 20 different frames down, in turn from three places two frames apart; and
 * libunwind's unw_backtrace in the same place, if there is one. Prints, in nanoseconds,
 *
 *     stack_cost_ns first N p99 N median N unw_backtrace N      (0: there is no libunwind)
 *
 * first and p99 of single calls, with the time of reading the clock in them; the other two are medians over batches, for
 * some clocks go by steps of ten.
 *
 * steps: allocations of a thread. threads: that do so at the same time; the worst figure of each kind is printed. */
#include "../bench.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { STEPS, THREADS };
static struct bench_parameter parameters[] = {
    [STEPS] = { "steps", 300000, 1 },
    [THREADS] = { "threads", 1, 0 },
    { NULL, 0, 0 },
};

enum { BYTES = 48, LONGEST_NS = 20000, BACKTRACE_FRAMES = 64, BACKTRACES = 3000, BATCH = 12, THREADS_MAX = 64 };

#define FRAME __attribute__((noinline))
#define FRAME_ENDS __asm__ volatile("" : : : "memory")

typedef int backtrace_function(void **addresses, int capacity);

struct times {
    uint32_t counts[LONGEST_NS + 1]; /* by nanoseconds; the last: as long or longer */
    uint64_t total;
};
static struct of_thread {
    struct times singles, batches, backtraces;
    double first_ns, p99_ns, median_ns, backtrace_ns; /* what becomes of them */
} of_threads[THREADS_MAX];
static __thread struct of_thread *own;
static backtrace_function *backtrace_of_libunwind;

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void note(struct times *times, uint64_t ns)
{
    times->counts[ns < LONGEST_NS ? ns : LONGEST_NS]++;
    times->total++;
}

static uint64_t quantile(const struct times *times, unsigned percent)
{
    uint64_t seen = 0, wanted = times->total * percent / 100;
    for (uint64_t ns = 0; ns <= LONGEST_NS; ns++)
        if ((seen += times->counts[ns]) > wanted)
            return ns;
    return 0;
}

FRAME static void *allocate(void)
{
    unsigned char *memory = malloc(BYTES);
    FRAME_ENDS;
    return memory;
}

FRAME static void *allocate_elsewhere(void)
{
    void *memory = allocate();
    FRAME_ENDS;
    return memory;
}

static void use(void *blocks[], unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!blocks[i])
            bench_fail("out of memory");
        *(volatile unsigned char *)blocks[i] = 1;
        free(blocks[i]);
    }
}

FRAME static uint64_t innermost(unsigned long steps)
{
    void *blocks[BATCH];
    for (unsigned long i = 0; i < steps; i++) {
        uint64_t start = now_ns();
        blocks[0] = i % 3 == 0 ? allocate() : allocate_elsewhere();
        uint64_t ns = now_ns() - start;
        if (i == 0)
            own->first_ns = (double)ns;
        else
            note(&own->singles, ns);
        use(blocks, 1);
    }
    for (unsigned long done = 0; done < steps; done += BATCH) {
        uint64_t start = now_ns();
        for (unsigned i = 0; i < BATCH; i += 3) {
            blocks[i] = allocate_elsewhere();
            FRAME_ENDS;
            blocks[i + 1] = allocate_elsewhere();
            FRAME_ENDS;
            blocks[i + 2] = allocate();
        }
        note(&own->batches, now_ns() - start);
        use(blocks, BATCH);
    }
    void *addresses[BACKTRACE_FRAMES];
    for (unsigned done = 0; backtrace_of_libunwind && done < BACKTRACES; done++) {
        uint64_t start = now_ns();
        for (unsigned i = 0; i < BATCH; i++)
            if (backtrace_of_libunwind(addresses, BACKTRACE_FRAMES) < 17) /* of another thread than the first */
                bench_fail("unw_backtrace did not come to the end");
        note(&own->backtraces, now_ns() - start);
    }
    return steps;
}

/* Frames of different functions and sizes. */
#define FRAME_OVER(name, inner, bytes) \
    FRAME static uint64_t name(unsigned long steps) \
    { \
        volatile unsigned char room[bytes]; \
        room[0] = 0; \
        uint64_t done = inner(steps); \
        FRAME_ENDS; \
        return done + room[0]; \
    }
FRAME_OVER(frame_1, innermost, 8)
FRAME_OVER(frame_2, frame_1, 24)
FRAME_OVER(frame_3, frame_2, 200)
FRAME_OVER(frame_4, frame_3, 40)
FRAME_OVER(frame_5, frame_4, 16)
FRAME_OVER(frame_6, frame_5, 72)
FRAME_OVER(frame_7, frame_6, 1000)
FRAME_OVER(frame_8, frame_7, 32)
FRAME_OVER(frame_9, frame_8, 120)
FRAME_OVER(frame_10, frame_9, 8)
FRAME_OVER(frame_11, frame_10, 56)
FRAME_OVER(frame_12, frame_11, 16)
FRAME_OVER(frame_13, frame_12, 300)

static void *run(void *index)
{
    own = &of_threads[(uintptr_t)index];
    if (frame_13(parameters[STEPS].value) != parameters[STEPS].value) /* with the frames of the start: 20 */
        bench_fail("frames do not hand on what they got");
    own->p99_ns = (double)quantile(&own->singles, 99);
    own->median_ns = (double)quantile(&own->batches, 50) / BATCH;
    own->backtrace_ns = (double)quantile(&own->backtraces, 50) / BATCH;
    return NULL;
}

static void most(double *of_all, double of_one)
{
    if (of_one > *of_all)
        *of_all = of_one;
}

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    void *libunwind = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
    void *function = libunwind ? dlsym(libunwind, "unw_backtrace") : NULL;
    memcpy(&backtrace_of_libunwind, &function, sizeof function); /* ISO C has no cast from an object pointer */
    unsigned long count = parameters[THREADS].value;
    pthread_t threads[THREADS_MAX];
    if (count < 1 || count > THREADS_MAX)
        bench_fail("threads must be 1 to 64");
    for (uintptr_t i = 1; i < count; i++)
        if (pthread_create(&threads[i], NULL, run, (void *)i) != 0)
            bench_fail("no thread");
    run(NULL);
    struct of_thread *all = &of_threads[0];
    for (unsigned long i = 1; i < count; i++) {
        pthread_join(threads[i], NULL);
        most(&all->first_ns, of_threads[i].first_ns);
        most(&all->p99_ns, of_threads[i].p99_ns);
        most(&all->median_ns, of_threads[i].median_ns);
        most(&all->backtrace_ns, of_threads[i].backtrace_ns);
    }
    printf("stack_cost_ns first %.0f p99 %.0f median %.1f unw_backtrace %.1f\n", all->first_ns, all->p99_ns,
           all->median_ns, all->backtrace_ns);
    return bench_end(count * parameters[STEPS].value);
}
