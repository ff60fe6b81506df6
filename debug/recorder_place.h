/* Where a recorder file may lie and what it is called. */
#ifndef BMM_RECORDER_PLACE_H
#define BMM_RECORDER_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BMM__RECORDER_PATH_BYTES 1024

/* Creates a new file brainmm.<pid>.<birth>.<n>.bmm in the directory of the option dir; without the option in the first
 * that is fit of $BRAINMM_DIR, $XDG_RUNTIME_DIR, /dev/shm, $TMPDIR, /tmp (fit: writable and, unless named for us,
 * roomy). n tells the recorders of one process apart; in a directory that was asked for, where all stay, it grows.
 * Returns the descriptor, writes the path and how many recorded images came before this one; -1: none. */
int bmm__recorder_place(char path[BMM__RECORDER_PATH_BYTES], uint32_t *exec_count);

/* Without a manager nobody will read the files of the images that this process was before its execs: removes those
 * that say they left in order (EXECED). */
void bmm__recorder_remove_predecessors(const char *path);

/* Whether this process, as it is now, or a program it becomes may make a file where it was told to; where it may not be asked, or
 * was told no place, yes. */
bool bmm__recorder_may_place(void);

/* True if another copy of the library, in this same image, records to a file beside path. */
bool bmm__recorder_has_twin(const char *path);

/* For the header. */
uint32_t bmm__recorder_image(void);

#endif
