/* The name of a leak or an error that stays the same over rebuilds and across machines.
 *
 * Scheme 1: "1:" and 16 hex digits, a hash of the kind and of the frames' names from the allocator's caller out to
 * main or the thread's function. Addresses, lines, files and compiler suffixes do not enter. A run of libc frames
 * counts as the one function that was called from outside, because what lies below it changes with libc's version
 * and with its debug symbols; a frame without a name counts as its module's file name and "?".
 * A scheme never changes; a better one gets another number.
 */
#ifndef BMM_REPORT_FINGERPRINT_H
#define BMM_REPORT_FINGERPRINT_H

#include "report/frame.h"

#define BMM__FINGERPRINT_BYTES 19 /* with its NUL */

void bmm__fingerprint(char text[BMM__FINGERPRINT_BYTES], const char *kind, const struct bmm__stack *stack);

#endif
