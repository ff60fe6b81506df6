/* What tests of the API ask of the process and of the library that serves it. C11. */
#ifndef FACTS_H
#define FACTS_H

#include "tests/plain.h"

#include "brainmm/brainmm.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

/* The debugger records each block: libbrainmm_debug in its modes leak and check, which know what size was asked for. */
static inline bool facts_is_recorded(void)
{
    struct bmm_memory_options options;
    void *p = malloc(1);
    bool is_known = bmm_memory_options(p, &options) && options.size == 1;
    free(p);
    return is_known;
}

/* Mode check: there are guards around blocks, and freed ones are kept back. */
static inline bool facts_is_checked(void)
{
    const char *options = getenv("BRAINMM_OPTIONS");
    return facts_is_recorded() && options != NULL && strstr(options, "mode=check") != NULL;
}

/* A line of /proc/self/status, as VmHWM, in bytes; 0: the system has none. */
static inline size_t facts_status_bytes(const char *field)
{
    char line[128];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            sscanf(line + strlen(field), ": %zu", &kib);
    if (file != NULL)
        fclose(file);
    return kib << 10;
}

/* Of this process. */
static inline size_t facts_resident_bytes(void)
{
    unsigned long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu %lu", &size, &pages) != 2)
        _exit(2);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The sum of what body, which is given 1, 2, …, returns in so many threads at once, 16 at most: how much was wrong. */
static inline unsigned long facts_wrong_by(unsigned thread_count, void *(*body)(void *number))
{
    pthread_t threads[16];
    unsigned long wrong = 0;
    for (unsigned i = 0; i < thread_count; i++)
        PLAIN_CHECK(pthread_create(&threads[i], NULL, body, (void *)(uintptr_t)(i + 1)) == 0); /* NOLINT */
    for (unsigned i = 0; i < thread_count; i++) {
        void *result;
        pthread_join(threads[i], &result);
        wrong += (unsigned long)(uintptr_t)result;
    }
    return wrong;
}

static inline bool facts_is_all(const void *p, size_t bytes, int value)
{
    for (size_t i = 0; i < bytes; i++)
        if (((const unsigned char *)p)[i] != value)
            return false;
    return true;
}

#endif
