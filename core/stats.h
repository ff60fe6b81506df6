/* Statistics as text, for whoever writes it: bmm_stats_json and the calls of glibc (override_glibc.c). */
#ifndef BMM_STATS_H
#define BMM_STATS_H

#include "brainmm/brainmm.h"

/* Of enum bmm_memory_kind. */
const char *bmm__stats_kind_name(unsigned kind);

#endif
