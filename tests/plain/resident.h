/* What tests ask of the process that they are, without its malloc. */
#ifndef RESIDENT_H
#define RESIDENT_H

#include "tests/plain.h"

#include "core/atomic.h"
#include "core/os.h"
#include "core/purge.h"

#include <time.h>

/* Bytes; under a sanitizer only those of ours that are free, for most of the others are its own. */
static inline size_t resident(void)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    return bmm__load_relaxed(&bmm__dirty_bytes);
#endif
    unsigned long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    PLAIN_CHECK(file != NULL && fscanf(file, "%lu %lu", &size, &pages) == 2);
    fclose(file);
    return pages * bmm__os_page_bytes();
}

/* Of this thread's own time: what else the machine does is not ours. */
static inline double thread_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

#endif
