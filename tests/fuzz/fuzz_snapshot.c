/* Any bytes as a snapshot: read as a report is made, with nothing worse than a refusal. */
#define _GNU_SOURCE
#include "report/add_snapshot.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

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
    if (bmm__report_add_snapshot(report, symbolizer, path, &(struct bmm__process_facts){ 0 }, &why))
        bmm__report_finish(report);
    bmm__symbolizer_free(symbolizer);
    bmm__report_free(report);
    close(file);
    return 0;
}
