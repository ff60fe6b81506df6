/* The verbs, one file each: cmd_<verb>.c. */
#ifndef BMM_VIEWER_VERBS_H
#define BMM_VIEWER_VERBS_H

#include "viewer/args.h"

extern const struct bmm__verb bmm__verb_run, bmm__verb_show, bmm__verb_export, bmm__verb_report;

#endif
