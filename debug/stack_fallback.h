/* libunwind as the last resort, for those who ask for it: code whose modules have only .debug_frame, or none of the
 * tables that we read. It takes locks, makes hundreds of system calls, and hangs in forked children of threaded
 * programs; so it is never used there, and never unless asked for.
 *
 * Loaded privately (RTLD_LOCAL, by name, no DT_NEEDED): none of the names it exports reaches the program, whose
 * exceptions go on being unwound by its own library.
 */
#ifndef BMM_STACK_FALLBACK_H
#define BMM_STACK_FALLBACK_H

#include "stack_walk.h"

void bmm__fallback_load(void);   /* when libc is usable; allocates */
void bmm__fallback_forbid(void); /* in a forked child, for ever */

/* Replaces a cut walk by a longer one that begins at the same frame; *is_whole: it ends where the stack does. False:
 * there is none, nothing changed. */
bool bmm__fallback_walk(struct bmm__walk *walk, const struct bmm__frame_state *start, bool *is_whole);

#endif
