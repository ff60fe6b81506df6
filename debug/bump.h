/* A piece of memory that is handed out from its start to its end.
 *
 *   ┌─────────────┬───────────────┬──────────────────────┐
 *   │ handed out  │ in memory     │ untouched            │
 *   └─────────────┴───────────────┴──────────────────────┘
 *                 at              at + left - untouched  at + left
 *
 * The system puts memory behind it in steps of a sixteenth of the piece, in place of a fault for each page, which takes twice as
 * long or more. So a small piece, of a small process, has what it needs, and of none much is taken that is not used.
 * Not thread-safe: whoever owns it has a lock.
 */
#ifndef BMM_BUMP_H
#define BMM_BUMP_H

#include "core/assert.h"
#include "core/os.h"

#include <stddef.h>

#define BMM__BUMP_STEP_MAX ((size_t)64 << 10)

/* All zero: nothing is left. */
struct bmm__bump {
    char *at;
    size_t left;
    size_t untouched; /* the end of what is left */
    size_t step;
};

static inline void bmm__bump_begin(struct bmm__bump *bump, void *start, size_t bytes)
{
    size_t step = bytes / 16 < BMM__BUMP_STEP_MAX ? bytes / 16 : BMM__BUMP_STEP_MAX;
    /* A page is as well had by a fault. */
    size_t untouched = step >= 2 * bmm__os_page_bytes() ? bytes : 0;
    *bump = (struct bmm__bump){ .at = start, .left = bytes, .untouched = untouched, .step = step };
}

/* bytes: at most what is left. */
static inline void *bmm__bump_take(struct bmm__bump *bump, size_t bytes)
{
    BMM_ASSERT(bytes <= bump->left);
    char *taken = bump->at;
    bump->at += bytes;
    bump->left -= bytes;
    if (bump->untouched > bump->left) {
        char *untouched = bump->at + bump->left - bump->untouched;
        size_t more = (size_t)(bump->at - untouched);
        more += bump->step - 1 - (more - 1) % bump->step;
        more = more < bump->untouched ? more : bump->untouched;
        bmm__os_populate(untouched, more);
        bump->untouched -= more;
    }
    return taken;
}

#endif
