/* libbrainmm_debug.so: beside the viewer (in the build tree), or in the library folder of the same prefix. */
#ifndef BMM_VIEWER_LIBRARY_H
#define BMM_VIEWER_LIBRARY_H

#include "report/why.h"

#include <limits.h>

bool bmm__library_find(char path[PATH_MAX], struct bmm__why *why);

#endif
