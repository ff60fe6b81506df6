/* While a program runs: what its report will need of its file, so that at its end only what was recorded is left to read. */
#ifndef BMM_REPORT_READ_AHEAD_H
#define BMM_REPORT_READ_AHEAD_H

#include "report/symbol.h"

#include <stdbool.h>

/* Reads the symbols of the program that writes the snapshot, and of its libraries that have allocated, unless they are so large
 * that its end might have to wait for them. Nothing is read where servers of debug information might be asked, or
 * address space is limited. False: the snapshot names none yet. */
bool bmm__report_read_ahead(struct bmm__symbolizer *symbolizer, const char *path);

#endif
