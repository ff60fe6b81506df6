/* Whose block it is: the program's, or one that libc and the loader allocated for themselves.
 *
 * libc keeps buffers, tables and caches until the end of the process (the buffer of stdout, the locale, what dlopen
 * knows, thread control blocks). They are not the program's leaks, and a report full of them is not read. But memory
 * that libc hands over (strdup, getline, fopen …) is the program's as if it had called malloc itself.
 */
#ifndef BMM_REPORT_OWNERSHIP_H
#define BMM_REPORT_OWNERSHIP_H

#include "report/frame.h"

#include <stdbool.h>
#include <stddef.h>

/* True: libc's, the loader's or the C++ runtime's own block. Whenever it is not certain, the answer is false: a leak
 * shown in vain is better than one hidden. */
bool bmm__stack_is_runtime(const struct bmm__stack *stack);

/* True if the libc function gives its caller memory to free, directly or inside an object with its own release. */
bool bmm__hands_over(const char *libc_function);

/* For the test that proves the table sorted. */
extern const char *const bmm__handing_over[];
extern const size_t bmm__handing_over_count;

#endif
