/* While a program runs: what its report will need of its file, so that at its end only what was recorded is left to read.
 *
 * Only of the program itself: the system refuses to write to a file that runs, but a library's may change or shrink while it is
 * read. (What is mapped and not read just then may change: bmm__symbolizer_resume.) Only symbols, and not too many: debug
 * information may take seconds. (Stacks are made later, as modestly until the exit hook: bmm__symbolizer_be_modest.)
 */
#ifndef BMM_REPORT_READ_AHEAD_H
#define BMM_REPORT_READ_AHEAD_H

#include "report/symbol.h"

#include <stdbool.h>

enum bmm__read_ahead {
    BMM__AHEAD_NOT_YET, /* the snapshot does not name the program's file */
    BMM__AHEAD_NEVER, /* servers of debug information might be asked, or memory is limited: nothing is to be done before the end */
    BMM__AHEAD_DONE
};

/* Of the program that writes the snapshot and runs as pid. */
enum bmm__read_ahead bmm__report_read_ahead(struct bmm__symbolizer *symbolizer, const char *path, uint32_t pid);

#endif
