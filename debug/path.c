/* See path.h. */
#include "path.h"

#include "core/os.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

static bool has_started;
static char first_directory[PATH_MAX]; /* "": unknown */

void bmm__path_start(void)
{
    if (!has_started && !bmm__os_directory_now(first_directory, sizeof first_directory))
        first_directory[0] = '\0';
    has_started = true;
}

const char *bmm__path_absolute(const char *path, char *buffer, size_t capacity)
{
    bmm__path_start();
    if (*path == '/' || first_directory[0] == '\0')
        return path;
    size_t front = strlen(first_directory), bytes = strlen(path) + 1;
    if (front + 1 + bytes > capacity)
        return NULL;
    memcpy(buffer, first_directory, front);
    buffer[front] = '/';
    memcpy(buffer + front + 1, path, bytes);
    return buffer;
}
