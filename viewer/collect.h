/* The snapshots of a run's processes become one report: most at its end; where there are many, those of processes that
 * are gone already meanwhile, so that the directory does not fill. */
#ifndef BMM_VIEWER_COLLECT_H
#define BMM_VIEWER_COLLECT_H

#include "report/report.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bmm__collection;

#define BMM__COLLECT_KEPT 64 /* snapshots that may wait for the end */

struct bmm__run_facts {
    pid_t main_pid;
    int main_wait_status;
    const char *mode; /* asked for */
    char **command;   /* of the main program, NULL-terminated */
};

/* Of the snapshots in this directory. Never NULL. */
struct bmm__collection *bmm__collection_make(const char *directory);

/* Reads what the report will need of the main program's file (read_ahead.h), once there is a snapshot that names it: while the program
 * runs there is time for that. To be called again and again, but it does so once for a program, and gives up after a while. */
void bmm__collection_read_ahead(struct bmm__collection *collection, pid_t main_pid);

/* The word of that program's snapshot that is no longer 0 when its exit hook has begun; a futex, mapped until then, for the kernel alone:
 * the file may be cut short. NULL: the end of none is awaited. */
uint32_t *bmm__collection_awaits(const struct bmm__collection *collection);
/* Makes stacks before the end, that there be less to do then: when that word is no longer 0, and before, when the program has run twice
 * as long as the last time. What it still allocates and frees is seen at the end all the same. To be called again and again. */
void bmm__collection_prepare(struct bmm__collection *collection, pid_t main_pid);

/* Takes over and removes the snapshots that nobody writes to any more, if more than `kept` lie there; those of
 * main_pid stay. */
void bmm__collection_thin(struct bmm__collection *collection, pid_t main_pid, uint32_t kept);

/* True if a snapshot was removed: the report is all there is of it. */
bool bmm__collection_is_thinned(const struct bmm__collection *collection);

/* Takes the rest, which stays where it is, and frees the collection. Never NULL. Process 0 is the program that ended
 * last under main_pid; where it left no snapshot, the report says that the check did not run, and why. */
struct bmm__report *bmm__collection_finish(struct bmm__collection *collection, const struct bmm__run_facts *run);

#endif
