/* What comes through a pipe, as a file: whoever reads a snapshot or a database goes back and forth in it. */
#ifndef BMM_REPORT_SPOOL_H
#define BMM_REPORT_SPOOL_H

#include "report/why.h"

#include <limits.h>
#include <stdbool.h>

struct bmm__spool {
    char path[PATH_MAX]; /* "": the file itself can be read */
};

/* Copies what path ("-": standard input) brings to a file of its own, unless it is a regular file. */
bool bmm__spool_open(struct bmm__spool *spool, const char *path, struct bmm__why *why);
void bmm__spool_close(struct bmm__spool *spool); /* removes it */

#endif
