/* Programs that give up rights, or the view of the file system: afterwards the recorder's file may not be opened by its
 * name any more, so what it is to grow by soon is had before. What is beyond that is lost, and the report says so.
 *
 * Wrapped are the calls of libc that daemons use for it; they do what libc's do. */
#ifndef BMM_RIGHTS_H
#define BMM_RIGHTS_H

/* Finds the real functions; when libc is usable. */
void bmm__rights_start(void);

#endif
