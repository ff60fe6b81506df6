/* dlclose, wrapped: what is at a module's addresses afterwards is something else. */
#ifndef BMM_DL_H
#define BMM_DL_H

/* Finds the real one; when libc is usable. */
void bmm__dl_start(void);

#endif
