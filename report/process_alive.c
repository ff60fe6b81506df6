#define _GNU_SOURCE
#include "report/process_alive.h"

#include "brainmm/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Looks for the file's name in the process' mappings: a pid alone may by now belong to anyone. 1, 0, -1: cannot see. */
static int has_mapped(uint32_t pid, const char *name)
{
    char maps_path[64];
    snprintf(maps_path, sizeof maps_path, "/proc/%u/maps", pid);
    FILE *maps = fopen(maps_path, "re");
    if (maps == NULL)
        return -1;
    char *line = NULL;
    size_t capacity = 0;
    int found = 0;
    errno = 0;
    while (!found && getline(&line, &capacity, maps) > 0)
        found = strstr(line, name) != NULL;
    if (!found && errno != 0)
        found = -1;
    free(line);
    fclose(maps);
    return found;
}

static bool read_header(const char *path, struct bmm_snapshot_header *header)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return false;
    ssize_t bytes = read(file, header, sizeof *header);
    close(file);
    return bytes == (ssize_t)sizeof *header && header->pid != 0 && header->pid <= INT32_MAX;
}

bool bmm__snapshot_is_finished(const char *path)
{
    struct bmm_snapshot_header header;
    return read_header(path, &header) && header.state == BMM_SNAPSHOT_EXITED && kill((pid_t)header.pid, 0) != 0 &&
           errno == ESRCH;
}

bool bmm__snapshot_is_alive(const char *path)
{
    struct bmm_snapshot_header header;
    if (!read_header(path, &header) || header.state != BMM_SNAPSHOT_RUNNING)
        return false;
    if (kill((pid_t)header.pid, 0) != 0 && errno != EPERM)
        return false;
    const char *slash = strrchr(path, '/');
    int mapped = has_mapped(header.pid, slash != NULL ? slash : path);
    return mapped != 0;
}
