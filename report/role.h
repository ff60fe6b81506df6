/* Whose code it is: roles of modules and the few function names that mean "allocator" or "start of the program".
 *
 * One place, because grouping, fingerprints, the rule about libc's own blocks and the text for people must agree. */
#ifndef BMM_REPORT_ROLE_H
#define BMM_REPORT_ROLE_H

#include "report/frame.h"

#include <stdbool.h>

/* By the name of the module's file alone; NULL is BMM_ROLE_PROGRAM. */
enum bmm__role bmm__role_of_module(const char *path);

/* Path without its directory; NULL for NULL. */
const char *bmm__base_name(const char *path);

/* By the frame's texts and role: for bmm__frame_settle, which everyone else relies on. */
enum bmm__part bmm__part_of(const struct bmm__frame *frame);

/* libc or ld.so. */
static inline bool bmm__frame_is_system(const struct bmm__frame *frame)
{
    return frame->role == BMM_ROLE_LIBC || frame->role == BMM_ROLE_LOADER;
}

/* Of a run of libc and loader frames that ends before frame `end` of the stack: the function that was called from
 * outside, by what the caller says, else by libc's exports. NULL: not known. */
const char *bmm__stack_entry(const struct bmm__stack *stack, uint32_t end);

/* Index of the first frame below the allocator's on top; count if there is none. */
uint32_t bmm__stack_top(const struct bmm__stack *stack);

/* Number of frames up to main or the function a thread began with; what starts those is left out. Equals count if
 * leaving it out would leave nothing behind `top`. */
uint32_t bmm__stack_bottom(const struct bmm__stack *stack, uint32_t top);

/* The frame that a person is told first: between top and bottom, not libc's, the innermost with a source line that is not in the C++
 * library's headers, else with any, else the innermost. 0 where there is none such. */
uint32_t bmm__stack_site(const struct bmm__stack *stack);

#endif
