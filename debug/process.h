/* This process, from the debug layer's side: settled means that it is known where it records.
 *
 * The first process settles in bmm__client_open. A forked child finds the page wiped and settles at its first call
 * of the client: most children exec at once and need nothing. A child of vfork shares its parent's page, and what it
 * does counts as the parent's.
 *
 * Invariants
 *  P1  Nothing is written to a chunk (stack, mirror, error) by a process that is not settled.
 *  P2  Settling happens once per process; whoever comes meanwhile waits, except a signal handler that interrupted
 *      the settling thread: its calls go unrecorded.
 */
#ifndef BMM_PROCESS_H
#define BMM_PROCESS_H

#include "recorder.h"

#include "core/assert.h"

#include <stdbool.h>

/* True when recording is possible. Keeps errno. */
bool bmm__process_settle(void);

static inline bool bmm__process_is_settled(void)
{
    if (BMM__LIKELY(bmm__load_acquire(&bmm__recorder_process->state) != BMM__RECORDER_UNSETTLED))
        return true;
    return bmm__process_settle();
}

bool bmm__process_is_forked(void); /* a child of fork of the process that loaded the library */

/* For the client's fork_child: at once, while settling waits for the first call. */
void bmm__process_fork_child(void);

#endif
