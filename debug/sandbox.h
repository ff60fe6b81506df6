/* Programs that lock themselves in. After a seccomp filter is installed, a system call that the program does not make
 * itself may kill it; so from then on this library makes none but those of memory (mmap, munmap, mprotect, madvise),
 * of waiting, of the mask of signals, and write to stderr.
 *
 * A filter that was there when the program began is no such thing: whoever laid it let the library in.
 * Knows nothing of what a filter says.
 */
#ifndef BMM_SANDBOX_H
#define BMM_SANDBOX_H

#include <stdbool.h>

/* The process has installed a filter since it began. Stays true in children. */
bool bmm__sandbox_is_closed(void);

/* A thread of it is in seccomp's strict mode, where reading the processor's clock is an error, too. */
bool bmm__sandbox_is_strict(void);

#endif
