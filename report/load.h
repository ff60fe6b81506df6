/* A report from a file, whatever the file is: a snapshot, a .db or a .json of ours. Told by its first bytes, not by
 * its name. */
#ifndef BMM_REPORT_LOAD_H
#define BMM_REPORT_LOAD_H

#include "report/report.h"
#include "report/symbol.h"

/* Adds what the file ("-": standard input) holds behind what the report has. False: why tells, and the report may hold a part of it. */
bool bmm__report_load(struct bmm__report *report, struct bmm__symbolizer *symbolizer, const char *path,
                      struct bmm__why *why);

/* For load: the two formats of reports. */
bool bmm__read_sqlite(struct bmm__report *report, const char *path, struct bmm__why *why);
bool bmm__read_json(struct bmm__report *report, const char *path, struct bmm__why *why);

#endif
