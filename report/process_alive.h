/* Whether the process that writes a snapshot still lives. */
#ifndef BMM_REPORT_PROCESS_ALIVE_H
#define BMM_REPORT_PROCESS_ALIVE_H

#include <stdbool.h>

/* True if a process of this machine has the snapshot's file mapped or, where that cannot be seen, has the pid in its
 * header and is no zombie. A snapshot of another machine, or of a pid that was used again, is not alive. */
bool bmm__snapshot_is_alive(const char *path);

/* True if nobody on this machine, in whatever namespace, has the file open or mapped, so that nothing is written to it
 * any more. False also where the system cannot say. */
bool bmm__snapshot_is_finished(const char *path);
/* That, of a file in a directory that is a snapshot, or was going to be one when its process was killed. */
bool bmm__snapshot_is_abandoned(int directory, const char *name);

#endif
