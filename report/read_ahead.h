/* While a program runs: what its report will need of its file, so that at its end only what was recorded is left to read.
 *
 * Only of the program itself: the system refuses to write to a file that runs, but a library's may change or shrink under who
 * has it mapped. Only symbols, and not too many: debug information may take seconds, and is in the cache, which stays locked
 * once it was asked.
 */
#ifndef BMM_REPORT_READ_AHEAD_H
#define BMM_REPORT_READ_AHEAD_H

#include "report/symbol.h"

#include <stdbool.h>

/* Of the program that writes the snapshot and runs as pid. Nothing where servers of debug information might be asked, or memory
 * is limited. False: the snapshot does not name its file yet. */
bool bmm__report_read_ahead(struct bmm__symbolizer *symbolizer, const char *path, uint32_t pid);

#endif
