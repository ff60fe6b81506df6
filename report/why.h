/* Why something failed: one clear line for people, without a newline, carried up to whoever prints it. */
#ifndef BMM_REPORT_WHY_H
#define BMM_REPORT_WHY_H

#include <stdbool.h>

struct bmm__why {
    char text[512];
};

/* Writes the line (a longer one is cut) and returns false, so that a check reads `return bmm__fail(why, …)`. */
bool bmm__fail(struct bmm__why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
