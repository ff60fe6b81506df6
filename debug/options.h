/* What BRAINMM_OPTIONS asked for. Read once, at the first allocation, before libc is up; constant afterwards, except
 * wants_summary, which the program may change with bmm_report_leaks_on_shutdown(), and mode, which front.c may switch
 * off before main.
 *
 * Text: key=value, comma-separated. An unknown key or a bad value costs one line on stderr and that option, never
 * the program. Every key is described in brainmm-debug.7 (a lint test compares the two).
 */
#ifndef BMM_OPTIONS_H
#define BMM_OPTIONS_H

#include "brainmm/snapshot.h"

#include "core/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BMM__OPTIONS_TEXT_BYTES 4096
#define BMM__OPTIONS_REPORTS_MAX 8
#define BMM__OPTIONS_RECORDER_BYTES_MIN ((uint64_t)4 << 20)

struct bmm__options {
    enum bmm_mode mode;
    bool stops_on_error;
    bool fills;          /* fill of new and poison of freed blocks, in check */
    bool wants_contents; /* contents of blocks may appear in the report */
    bool wants_summary;
    bool is_managed;         /* report=none: someone else (brainmm run) makes the report from what lies in directory */
    unsigned depth_max;      /* frames per stack, 1 … 256 */
    size_t quarantine_bytes; /* per thread, 0: none */
    uint64_t recorder_bytes_max;
    const char *directory; /* NULL: choose */
    unsigned report_count;
    const char *reports[BMM__OPTIONS_REPORTS_MAX]; /* file names, point into values */
    char text[BMM__OPTIONS_TEXT_BYTES];            /* as given, for the snapshot */
    char values[BMM__OPTIONS_TEXT_BYTES];          /* the same, cut into strings */
};

extern struct bmm__options bmm__options BMM__HIDDEN;

/* Sets the defaults, then what the environment says; under AT_SECURE mode is OFF whatever it says. */
void bmm__options_open(void);

/* For tests: the same from a text; NULL is "no variable". */
void bmm__options_parse(struct bmm__options *options, const char *text);

#endif
