/* The end of the process: last verification, last words, and the report.
 *
 * The hook is registered first, so it runs last: after every destructor and atexit handler of the program and of
 * other libraries. Memory work after it is still recorded, and its errors are still entered; there is no second report.
 *
 * Invariants
 *  X1  Once per process. A forked child has its own turn.
 *  X2  Nothing the hook does needs the program's heap, stdio or locks.
 *  X3  Where it is part of the program itself it cannot be registered before what runs the program's destructors: there it is the last
 *      of these. (Those of shared libraries come after it then.)
 */
#ifndef BMM_EXIT_H
#define BMM_EXIT_H

#include <stdbool.h>
#include <stddef.h>

/* When libc is usable. */
void bmm__exit_start(void);

/* For the client's fork_child: a child says what it has to say on the stderr that it has. */
void bmm__exit_fork_child(void);

/* Where the report is made: BRAINMM_VIEWER, or `brainmm` beside the library's own file, or in ../bin from there.
 * NULL: nowhere. */
const char *bmm__viewer_path(void);
void bmm__viewer_start(void); /* remembers where the library lies, before the program changes directory */

/* The file name of the library as the loader knows it, without directories; "" when it is part of the program. */
const char *bmm__library_name(void);

#endif
