/* The report on the terminal: short unless all was asked for, coloured where that helps. */
#ifndef BMM_VIEWER_SUMMARY_H
#define BMM_VIEWER_SUMMARY_H

#include "report/report.h"

#include <stdbool.h>
#include <stdio.h>

#define BMM__SUMMARY_LEAKS 10
#define BMM__SUMMARY_ERRORS 20
#define BMM__SUMMARY_FRAMES 16

void bmm__summary(const struct bmm__report *report, FILE *out, bool is_all, bool is_contents);

#endif
