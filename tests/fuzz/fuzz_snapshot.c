/* Any bytes as a snapshot: read as a report is made, with nothing worse than a refusal. */
#define _GNU_SOURCE
#include "report/add_snapshot.h"

#include "fuzz.h"

#include "../unit/report/make_snapshot.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

bool fuzz_is_accepted;

/* Of the format of today, whatever it is: good ones, and beginnings of one. */
int LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
    const char *folder = getenv("BMM_FUZZ_SEEDS");
    struct made_snapshot made;
    char path[PATH_MAX];
    size_t count;
    (void)argument_count, (void)arguments;
    for (uint32_t state = BMM_SNAPSHOT_RUNNING; folder != NULL && state <= BMM_SNAPSHOT_EXECED; state++) {
        made_sample(&made, state);
        unsigned char *bytes = made_bytes(&made, &count);
        snprintf(path, sizeof path, "%s/seed_%u", folder, state);
        made_write_bytes(path, bytes, count);
        snprintf(path, sizeof path, "%s/cut_%u", folder, state);
        made_write_bytes(path, bytes, count * state / BMM_SNAPSHOT_EXECED - 1);
        free(bytes);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    int file = memfd_create("fuzz", MFD_CLOEXEC);
    char path[64];
    struct bmm__why why;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (file < 0 || write(file, bytes, count) != (ssize_t)count)
        return 0;
    struct bmm__report *report = bmm__report_make();
    struct bmm__symbolizer *symbolizer = bmm__symbolizer_make(&report->strings);
    fuzz_is_accepted = bmm__report_add_snapshot(report, symbolizer, path, &(struct bmm__process_facts){ 0 }, &why);
    if (fuzz_is_accepted)
        bmm__report_finish(report);
    bmm__symbolizer_free(symbolizer);
    bmm__report_free(report);
    close(file);
    return 0;
}
