/* How long single calls take: linked around a workload's malloc, calloc, realloc, free, new and delete (--wrap), and
 * printed when it ends:
 *
 *     latency_ns operations N p50 N p99.9 N max N
 *
 * A *bucket* holds the calls that took about as long, to within a sixteenth. The time of reading the clock twice (some
 * 20 to 50 ns) is in every figure, and so is the time in which the scheduler ran somebody else: compare, on an idle
 * machine, and with no more threads than processors. */
#include "bench.h"
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum {
    SUB_BITS = 4, /* 16 buckets for each power of two */
    BUCKETS = 64 << SUB_BITS,
    TABLES = 64,
};

/* Threads share a table when there are more than TABLES, so counts are added atomically. */
static struct table {
    uint64_t counts[BUCKETS];
    uint64_t max_ns;
} tables[TABLES];
static unsigned thread_count;
static __thread struct table *mine;

static size_t bucket_of(uint64_t ns)
{
    if (ns < 1 << SUB_BITS)
        return ns;
    unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - SUB_BITS;
    return ((size_t)shift << SUB_BITS) + (ns >> shift);
}

static uint64_t least_of(size_t bucket)
{
    if (bucket < 1 << SUB_BITS)
        return bucket;
    size_t shift = (bucket >> SUB_BITS) - 1;
    return (bucket - (shift << SUB_BITS)) << shift;
}

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void note(uint64_t start_ns)
{
    uint64_t ns = now_ns() - start_ns;
    struct table *table = mine;
    if (!table)
        table = mine = &tables[__atomic_fetch_add(&thread_count, 1, __ATOMIC_RELAXED) % TABLES];
    __atomic_fetch_add(&table->counts[bucket_of(ns)], 1, __ATOMIC_RELAXED);
    uint64_t max_ns = __atomic_load_n(&table->max_ns, __ATOMIC_RELAXED);
    while (ns > max_ns &&
           !__atomic_compare_exchange_n(&table->max_ns, &max_ns, ns, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

static uint64_t quantile(const uint64_t *counts, uint64_t below)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        if ((seen += counts[i]) > below)
            return least_of(i);
    return 0;
}

__attribute__((destructor)) static void print(void)
{
    static struct table all;
    uint64_t total = 0;
    for (size_t t = 0; t < TABLES; t++) {
        for (size_t i = 0; i < BUCKETS; i++) {
            all.counts[i] += tables[t].counts[i];
            total += tables[t].counts[i];
        }
        if (tables[t].max_ns > all.max_ns)
            all.max_ns = tables[t].max_ns;
    }
    printf("latency_ns operations %" PRIu64 " p50 %" PRIu64 " p99.9 %" PRIu64 " max %" PRIu64 "\n", total,
           quantile(all.counts, total / 2), quantile(all.counts, total - total / 1000 - (total != 0)), all.max_ns);
    fflush(stdout);
}

/* Weak: a program in C has no operators of C++, and never comes here for them. */
#define TIMED(result, name, taken, given) \
    __attribute__((weak)) result __real_##name taken; \
    result __wrap_##name taken; \
    result __wrap_##name taken \
    { \
        uint64_t start_ns = now_ns(); \
        result value = __real_##name given; \
        note(start_ns); \
        return value; \
    }

#define TIMED_VOID(name, taken, given) \
    __attribute__((weak)) void __real_##name taken; \
    void __wrap_##name taken; \
    void __wrap_##name taken \
    { \
        uint64_t start_ns = now_ns(); \
        __real_##name given; \
        note(start_ns); \
    }

TIMED(void *, malloc, (size_t size), (size))
TIMED(void *, calloc, (size_t count, size_t size), (count, size))
TIMED(void *, realloc, (void *memory, size_t size), (memory, size))
TIMED_VOID(free, (void *memory), (memory))
TIMED(void *, _Znwm, (size_t size), (size))
TIMED(void *, _Znam, (size_t size), (size))
TIMED_VOID(_ZdlPv, (void *memory), (memory))
TIMED_VOID(_ZdaPv, (void *memory), (memory))
TIMED_VOID(_ZdlPvm, (void *memory, size_t size), (memory, size))
