/* Whether the process that writes a snapshot still lives. */
#ifndef BMM_REPORT_PROCESS_ALIVE_H
#define BMM_REPORT_PROCESS_ALIVE_H

#include <stdbool.h>

/* True if a process of this machine has the snapshot's file mapped or, where that cannot be seen, has the pid in its
 * header and is no zombie. A snapshot of another machine, or of a pid that was used again, is not alive. */
bool bmm__snapshot_is_alive(const char *path);

/* True if the process has run its exit hook and is gone: the snapshot does not change any more. Never true of one that
 * was killed: in a pid namespace of its own it may live under another number than we see. */
bool bmm__snapshot_is_finished(const char *path);

#endif
