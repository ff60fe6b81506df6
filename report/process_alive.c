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
#include <sys/vfs.h>
#include <unistd.h>

#ifndef OVERLAYFS_SUPER_MAGIC
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#endif

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

bool bmm__snapshot_is_alive(const char *path)
{
    struct bmm_snapshot_header header;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return false;
    ssize_t bytes = read(file, &header, sizeof header);
    close(file);
    if (bytes != (ssize_t)sizeof header || header.state != BMM_SNAPSHOT_RUNNING || header.pid == 0 ||
        header.pid > INT32_MAX)
        return false;
    if (kill((pid_t)header.pid, 0) != 0 && errno != EPERM)
        return false;
    const char *slash = strrchr(path, '/');
    int mapped = has_mapped(header.pid, slash != NULL ? slash : path);
    return mapped != 0;
}

/* A write lease is given to nobody but a file's only user, and a mapping is a use; but not of a file in an overlay, which maps the one
 * below. Whoever opens the file meanwhile makes the system send a signal: one that is ignored. */
static bool is_only_user(int file)
{
    struct statfs system;
    return fstatfs(file, &system) == 0 && system.f_type != OVERLAYFS_SUPER_MAGIC &&
           fcntl(file, F_SETSIG, SIGURG) == 0 && fcntl(file, F_SETLEASE, F_WRLCK) == 0;
}

static int open_to_ask(int directory, const char *path)
{
    return openat(directory, path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
}

bool bmm__snapshot_is_finished(const char *path)
{
    int file = open_to_ask(AT_FDCWD, path);
    if (file < 0)
        return false;
    bool is_finished = is_only_user(file);
    close(file); /* and the lease with it */
    return is_finished;
}

bool bmm__snapshot_is_abandoned(int directory, const char *name)
{
    static const char nothing[sizeof((struct bmm_snapshot_header *)0)->magic];
    char magic[sizeof nothing];
    int file = open_to_ask(directory, name);
    if (file < 0)
        return false;
    ssize_t bytes = read(file, magic, sizeof magic);
    bool is_ours =
        bytes == 0 || (bytes == (ssize_t)sizeof magic && (memcmp(magic, BMM_SNAPSHOT_MAGIC, sizeof magic) == 0 ||
                                                          memcmp(magic, nothing, sizeof magic) == 0));
    bool is_abandoned = is_ours && is_only_user(file);
    close(file);
    return is_abandoned;
}
