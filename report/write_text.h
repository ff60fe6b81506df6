/* The report for people. Errors first, then leaks by size, then what else is to know. A clean run is one line.
 * Frames of the allocator on top and of libc's start at the bottom are left out. */
#ifndef BMM_REPORT_WRITE_TEXT_H
#define BMM_REPORT_WRITE_TEXT_H

#include "report/report.h"

#include <stdbool.h>
#include <stdio.h>

struct bmm__text_options {
    bool is_coloured;
    bool is_contents;     /* show changed bytes as text, too: data of the program */
    uint32_t leak_limit;  /* 0: all */
    uint32_t error_limit; /* 0: all */
    uint32_t frame_limit; /* of each stack; 0: all */
};

/* Write errors are left to the caller's ferror. */
void bmm__write_text(const struct bmm__report *report, FILE *out, const struct bmm__text_options *options);

#endif
