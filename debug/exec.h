/* The exec family and posix_spawn, wrapped: who is about to be started, can it be checked, and is this process about to
 * end without its exit hook?
 *
 * Invariants
 *  Z1  Usable in a child of vfork: stack and static memory only, no lock, no libc function that allocates.
 *  Z2  What libc's functions do, these do: search along PATH, /bin/sh for a file without a format, errno.
 */
#ifndef BMM_EXEC_H
#define BMM_EXEC_H

/* Finds the real posix_spawn functions; when libc is usable. */
void bmm__exec_start(void);

#endif
