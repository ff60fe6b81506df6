/* The operands of a verb, read as one report. */
#ifndef BMM_VIEWER_OPEN_H
#define BMM_VIEWER_OPEN_H

#include "report/report.h"
#include "viewer/args.h"

/* Of several files those that could be read; of each other one it was said why not, and *is_all becomes false. NULL: none
 * could, or standard input was among them, which cannot be read again without what failed. Freed by the caller. */
struct bmm__report *bmm__open_operands(const struct bmm__args *args, bool *is_all);

#endif
