/* Where a recorder file may lie and what it is called. */
#ifndef BMM_RECORDER_PLACE_H
#define BMM_RECORDER_PLACE_H

#include <stddef.h>
#include <stdint.h>

#define BMM__RECORDER_PATH_BYTES 1024

/* Creates a new file brainmm.<pid>.<birth>.<n>.bmm in the directory of the option dir; without the option in the first
 * that is fit of $BRAINMM_DIR, $XDG_RUNTIME_DIR, /dev/shm, $TMPDIR, /tmp (fit: writable and, unless named for us,
 * roomy). n counts the recorders of this process id since its birth, that is, its execs. Returns the descriptor, writes
 * the path and n; -1: none. */
int bmm__recorder_place(char path[BMM__RECORDER_PATH_BYTES], uint32_t *exec_count);

/* Without a manager nobody will read the file of the image that this process was before its last exec: removes it, if
 * that image says it left in order (EXECED). */
void bmm__recorder_remove_predecessor(const char *path, uint32_t exec_count);

#endif
