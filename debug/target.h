/* What a program about to be started is: can this library be preloaded into it? */
#ifndef BMM_TARGET_H
#define BMM_TARGET_H

#include <stddef.h>

/* NULL: it can be checked, or it is not there, or nothing is known against it. Else a sentence's half for the report:
 * "it is statically linked". Uses the stack only; callable in a child of vfork. */
const char *bmm__target_obstacle(const char *path);

/* The file that a search along PATH finds, as execvp does; NULL: none. */
const char *bmm__target_search(const char *name, char *buffer, size_t capacity);

#endif
