/* What a program about to be started is: can this library be preloaded into it? */
#ifndef BMM_TARGET_H
#define BMM_TARGET_H

#include <stdbool.h>
#include <stddef.h>

/* NULL: it can be checked, or it is not there, or nothing is known against it. Else a sentence's half for the report:
 * "it is statically linked". Uses the stack only; callable in a child of vfork. */
const char *bmm__target_obstacle(const char *path);

/* A search along PATH as it is now, as execvp does it. */
struct bmm__candidates {
    const char *name; /* without a slash */
    const char *rest; /* directories still to be looked in; NULL: none */
};
struct bmm__candidates bmm__candidates_of(const char *name);
/* The next place where the file could be; false: there is none. What does not fit is passed over. */
bool bmm__candidates_next(struct bmm__candidates *candidates, char *buffer, size_t capacity);

/* The file that such a search finds; NULL: none. A name with a slash is not searched. */
const char *bmm__target_search(const char *name, char *buffer, size_t capacity);

#endif
