/* After a run: the snapshots of its processes become one report. */
#ifndef BMM_VIEWER_COLLECT_H
#define BMM_VIEWER_COLLECT_H

#include "report/report.h"

#include <stdbool.h>
#include <sys/types.h>

struct bmm__collect {
    const char *directory; /* of the snapshots */
    pid_t main_pid;
    int main_wait_status;
    const char *mode; /* asked for */
    char **command;   /* of the main program, NULL-terminated */
};

/* Never NULL. Process 0 is the program that ended last under main_pid; where it left no snapshot, the report says that
 * the check did not run, and why. */
struct bmm__report *bmm__collect(const struct bmm__collect *run);

#endif
