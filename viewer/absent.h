/* The main program where no snapshot tells of it: it ran and left none, or it was refused and did not run. A report is
 * made all the same, so that a gate that reads it does not find one of last time. */
#ifndef BMM_VIEWER_ABSENT_H
#define BMM_VIEWER_ABSENT_H

#include "report/report.h"

#include <stdint.h>

struct bmm__absent {
    uint32_t pid;      /* 0: it was never started */
    const char *state; /* "ended", "refused" */
    const char *mode;  /* asked for */
    char **command;    /* NULL-terminated */
};

/* Adds it as a process. */
void bmm__absent_add(struct bmm__report *report, const struct bmm__absent *program);

/* The report of a program that was refused, finished. Never NULL. */
struct bmm__report *bmm__absent_report(const struct bmm__absent *program, const char *reason);

#endif
