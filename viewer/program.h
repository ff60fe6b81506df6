/* The program to check: where it is, and whether a preloaded library can come into it at all.
 *
 * A program that cannot be checked is refused before it runs, because afterwards nobody could tell "no errors" from
 * "nobody looked". Looked at: the file, the interpreter of a script (and that one's …), never what the program will
 * start later; that, the debug library itself watches. */
#ifndef BMM_VIEWER_PROGRAM_H
#define BMM_VIEWER_PROGRAM_H

#include "report/why.h"

#include <limits.h>

struct bmm__program {
    char path[PATH_MAX]; /* with a slash, as execve needs it */
};

/* Finds name as execvp does and looks at it. False: why is the reason alone ("it is statically linked"). */
bool bmm__program_find(struct bmm__program *program, const char *name, struct bmm__why *why);

#endif
