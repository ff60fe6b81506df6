/* The private directory where the processes of a run record themselves, one snapshot each. */
#ifndef BMM_VIEWER_PLACE_H
#define BMM_VIEWER_PLACE_H

#include "report/why.h"

#include <limits.h>

struct bmm__place {
    char path[PATH_MAX];
    int lock; /* held as long as the run lasts */
};

/* A new one, in the first of $BRAINMM_DIR, $XDG_RUNTIME_DIR, /dev/shm, $TMPDIR and /tmp that can be written and has 256 MiB
 * free; where none has so much, in the one with the most. What runs left in those that are looked at is swept (place_left.h). */
bool bmm__place_make(struct bmm__place *place, struct bmm__why *why);

/* Removes the snapshots and the directory. Processes that still record keep their files until they end. */
void bmm__place_remove(const struct bmm__place *place);

#endif
