/* Reports as files: the format a name asks for, and writing that is seen whole or not at all.
 *
 * A file is written under a temporary name in the directory of its target and renamed, so that whoever finds it finds
 * all of it. What the target was before stays until then, and for ever if writing fails. */
#ifndef BMM_REPORT_OUTPUT_H
#define BMM_REPORT_OUTPUT_H

#include "report/report.h"
#include "report/why.h"

#include <stdbool.h>
#include <stdio.h>

enum bmm__format { BMM_FORMAT_NONE, BMM_FORMAT_TEXT, BMM_FORMAT_JSON, BMM_FORMAT_SQLITE };

/* The temporary name of a report that is being written; NULL: none is. Whoever ends the process in the midst of it removes the file:
 * for a signal handler. */
extern const char *volatile bmm__output_unfinished;

/* By the end of the name: .txt, .json, .db (also .sqlite, .sqlite3). NONE: another. */
enum bmm__format bmm__format_of_path(const char *path);
/* text, json, sqlite. */
enum bmm__format bmm__format_of_word(const char *word);

/* What can be known before there is a report: the name says a format, its directory exists and can be written. */
bool bmm__output_check(const char *path, struct bmm__why *why);

/* To a device or a pipe it is written as it comes; a database is refused there. */
bool bmm__output_write(const struct bmm__report *report, enum bmm__format format, const char *path, bool is_contents,
                       struct bmm__why *why);

#endif
