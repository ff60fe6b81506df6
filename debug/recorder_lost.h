/* Processes that have no record of their own, since they can make none: they are counted in the record of the nearest process before
 * them that has one, the *witness*, so that a report does not keep silent about them. It is the one thing that a child writes into
 * another's file (R2): words of the header, by atomic additions and subtractions, and the id of the last.
 *
 *      fork, and no file is to be had                           lost_children    what it does is not checked
 *      … and an exec, if it may not write there and found       lost_programs    the program can make no file either
 *        no error; or an exec before it recorded anything
 *      fork in a sandbox, where no file may be opened           lost_sandboxed
 *
 * In a sandbox only the first generation counts: to find the witness again takes a call that the sandbox may not allow. What a process
 * that has a record starts by vfork or posix_spawn, unchecked.h tells of. A witness's memory stays as long as who found it lives.
 */
#ifndef BMM_RECORDER_LOST_H
#define BMM_RECORDER_LOST_H

#include <stdbool.h>
#include <stdint.h>

/* By a forked child that should have a file and has none, before what is mapped becomes its own memory. Counts once. */
void bmm__lost_child(void);
/* It has a file after all. */
void bmm__lost_is_found(void);

/* What bmm__lost_leave changed: where one more is counted, and one less; NULL: nowhere. */
struct bmm__lost_change {
    uint32_t *more, *less;
};

/* Before an exec, or a spawn. is_replaced: the process itself becomes the program, and need not be counted any more. For signal
 * handlers, too. */
struct bmm__lost_change bmm__lost_leave(bool is_replaced);
/* After it failed. */
void bmm__lost_stay(const struct bmm__lost_change *change);

#endif
