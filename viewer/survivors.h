/* Processes that outlive the program: background jobs that have recorded nothing yet, of which no snapshot tells. */
#ifndef BMM_VIEWER_SURVIVORS_H
#define BMM_VIEWER_SURVIVORS_H

#include "report/report.h"

#include <stdint.h>

struct bmm__survivor {
    uint32_t pid;
    char name[32];
};

struct bmm__survivors {
    struct bmm__survivor *items;
    uint32_t count, capacity;
};

/* Those that were started with an environment that names directory. What cannot be seen is not among them. */
struct bmm__survivors bmm__survivors_find(const char *directory);
/* A note about those that the report does not know as running. */
void bmm__survivors_note(struct bmm__report *report, const struct bmm__survivors *survivors);
void bmm__survivors_free(struct bmm__survivors *survivors);

#endif
