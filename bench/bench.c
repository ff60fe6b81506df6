#include "bench.h"
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

_Noreturn void bench_fail(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(3);
}

static _Noreturn void usage(const char *program, const struct bench_parameter *parameters)
{
    fprintf(stderr, "usage: %s [work=PERCENT]", program);
    for (; parameters->name; parameters++)
        fprintf(stderr, " [%s=%lu]", parameters->name, parameters->value);
    fprintf(stderr, "\n");
    exit(2);
}

void bench_begin(int argument_count, char **arguments, struct bench_parameter *parameters)
{
    unsigned long work_percent = 100;
    for (int i = 1; i < argument_count; i++) {
        const char *equals = strchr(arguments[i], '=');
        char *end = NULL;
        unsigned long value = equals ? strtoul(equals + 1, &end, 10) : 0;
        if (!equals || end == equals + 1 || *end != 0)
            usage(arguments[0], parameters);
        size_t length = (size_t)(equals - arguments[i]);
        struct bench_parameter *p = parameters;
        while (p->name && (strncmp(p->name, arguments[i], length) != 0 || p->name[length] != 0))
            p++;
        if (p->name)
            p->value = value;
        else if (strncmp("work", arguments[i], length) == 0 && length == 4)
            work_percent = value;
        else
            usage(arguments[0], parameters);
    }
    for (; parameters->name; parameters++) {
        if (!parameters->is_scaled)
            continue;
        parameters->value = parameters->value * work_percent / 100;
        if (parameters->value == 0)
            parameters->value = 1;
    }
}

int bench_end(uint64_t checksum)
{
    printf("checksum %016" PRIx64 "\n", checksum);
    return fflush(stdout) != 0;
}

/* ---- threads ---- */

struct worker {
    pthread_t thread;
    uint64_t (*body)(unsigned long i, void *context);
    void *context;
    unsigned long i;
    uint64_t result;
    char other_line[BENCH_LINE_BYTES];
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    worker->result = worker->body(worker->i, worker->context);
    return NULL;
}

uint64_t bench_run_threads(unsigned long count, uint64_t (*body)(unsigned long i, void *context), void *context)
{
    size_t bytes = count * sizeof(struct worker);
    struct worker *workers = bench_map(bytes);
    for (unsigned long i = 0; i < count; i++) {
        workers[i] = (struct worker){ .body = body, .context = context, .i = i };
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            bench_fail("no thread");
    }
    uint64_t sum = 0;
    for (unsigned long i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        sum += workers[i].result;
    }
    munmap(workers, bytes);
    return sum;
}

/* ---- the system ---- */

void *bench_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        bench_fail("no mapping");
    return memory;
}

uint64_t bench_cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

size_t bench_resident_bytes(void)
{
    char text[128] = { 0 };
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0 || read(file, text, sizeof text - 1) <= 0)
        bench_fail("no /proc/self/statm");
    close(file);
    const char *second = strchr(text, ' ');
    return second ? strtoul(second, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}
