/* Paths from the environment are relative to the directory in which the program began, whatever directory it is in when
 * they are used: daemons go to /. */
#ifndef BMM_PATH_H
#define BMM_PATH_H

#include <stddef.h>

/* Before the program runs: remembers the directory. */
void bmm__path_start(void);

/* path itself if it is absolute (or that directory is not known), else buffer; NULL: the buffer is too small. */
const char *bmm__path_absolute(const char *path, char *buffer, size_t capacity);

#endif
