/* Recorders that nobody will read: of processes that ended by _exit or a signal, without a manager and without errors.
 * Each may be what somebody wants to see, so the newest stay; but a build of a thousand shells must not fill the
 * memory file system. */
#ifndef BMM_RECORDER_SWEEP_H
#define BMM_RECORDER_SWEEP_H

#define BMM__RECORDER_ORPHANS_MAX 16

/* Removes, beside the file at path, this user's recorders that no process has open or mapped and that hold no errors,
 * except the newest BMM__RECORDER_ORPHANS_MAX. When libc is usable. Allocates nothing. */
void bmm__recorder_sweep(const char *path);

#endif
