/* The report as an SQLite database: tables for the facts, views for the questions; FORMAT.md describes both. */
#ifndef BMM_REPORT_WRITE_SQLITE_H
#define BMM_REPORT_WRITE_SQLITE_H

#include "report/report.h"
#include "report/why.h"

/* Into an empty file, in one transaction. */
bool bmm__write_sqlite(const struct bmm__report *report, const char *path, struct bmm__why *why);

#endif
