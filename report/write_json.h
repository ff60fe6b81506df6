/* The report as JSON, version 1; FORMAT.md describes every key. Written record by record: one tree of a million
 * objects would take 850 MB. Addresses are hex strings, because many readers hold numbers as doubles. */
#ifndef BMM_REPORT_WRITE_JSON_H
#define BMM_REPORT_WRITE_JSON_H

#include "report/report.h"

#include <stdio.h>

/* Write errors are left to the caller's ferror. */
void bmm__write_json(const struct bmm__report *report, FILE *out);

#endif
