/* The name of a leak or an error that stays the same over rebuilds and across machines.
 *
 * Scheme 1: "1:" and 16 hex digits, a hash of the kind and of the frames' names from the allocator's caller out to
 * main or the thread's function. Addresses, lines, files and compiler suffixes do not enter. A run of libc frames
 * counts as the one function that was called from outside, because what lies below it changes with libc's version
 * and with its debug symbols; one of them without a name counts as its module's file name and "?".
 * Scheme 3, "3:", where a frame of the program or its libraries has no name, as in a stripped file: that frame counts as
 * its module's file name, "?" and its place in the file. Such a name stays the same for the same file only. It is a hash of
 * the frames' own hashes: such programs show thousands of leaks with the same frames.
 * A scheme never changes; a better one gets another number. (2 was another hash of what 3 sees.)
 */
#ifndef BMM_REPORT_FINGERPRINT_H
#define BMM_REPORT_FINGERPRINT_H

#include "report/frame.h"

#define BMM__FINGERPRINT_BYTES 19 /* with its NUL */

/* What scheme 3 sees of a frame by itself: its name or, where it has none, its module and, but for libc's and the loader's, its place. name_hash:
 * bmm__fingerprint_name of its function, where it has one. For bmm__frame_settle. */
uint64_t bmm__fingerprint_own(const struct bmm__frame *frame, uint64_t name_hash);
uint64_t bmm__fingerprint_name(const char *function); /* not NULL */

void bmm__fingerprint(char text[BMM__FINGERPRINT_BYTES], const char *kind, const struct bmm__stack *stack);

#endif
