/* Processes that have no record of their own, since they can make none: they are counted in the record of the nearest process before
 * them that has one, the *witness*, so that a report does not keep silent about them. It is the one thing that a child writes into
 * another's file (R2): three words of the header, by atomic additions.
 *
 *      fork, and no file is to be had                     lost_children   what it does is not checked
 *      … and an exec, or an exec before it recorded       lost_programs   the program can make no file either
 *      fork in a sandbox, where no file may be opened     lost_sandboxed
 *
 * A process that is known to be recorded counts nowhere. Not of those that a child of vfork becomes: it has its parent's memory, and
 * unchecked.h does it.
 */
#ifndef BMM_RECORDER_LOST_H
#define BMM_RECORDER_LOST_H

#include <stdbool.h>

/* By a forked child that should have a file and has none, before what is mapped becomes its own memory. Counts once. */
void bmm__lost_child(void);
/* It has a file after all. */
void bmm__lost_is_found(void);

/* Before an exec, and after it if it failed. */
void bmm__lost_leave(void);
void bmm__lost_stay(void);

#endif
