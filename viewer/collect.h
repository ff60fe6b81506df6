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

struct bmm__collector;

/* Never NULL. While the program runs, `sweep` reads and removes the snapshots of processes that have exited, so that a
 * build of thousands of processes does not fill the directory; `finish` reads what is left and frees the collector. */
struct bmm__collector *bmm__collector_make(const char *directory);
void bmm__collector_sweep(struct bmm__collector *collector, pid_t main_pid);
struct bmm__report *bmm__collector_finish(struct bmm__collector *collector, const struct bmm__collect *run);

/* Of one that was never swept. Never NULL. Process 0 is the program that ended last under main_pid; where it left no
 * snapshot, the report says that the check did not run, and why. */
struct bmm__report *bmm__collect(const struct bmm__collect *run);

#endif
