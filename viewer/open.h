/* The operands of a verb, read as one report. */
#ifndef BMM_VIEWER_OPEN_H
#define BMM_VIEWER_OPEN_H

#include "report/report.h"
#include "viewer/args.h"

/* NULL: a file could not be read, and that was said. Freed by the caller. */
struct bmm__report *bmm__open_operands(const struct bmm__args *args);

#endif
