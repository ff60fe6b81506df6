#define _GNU_SOURCE
#include "viewer/place.h"

#include "report/process_alive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define ROOMY_BYTES ((uint64_t)256 << 20)
#define WEEK ((time_t)7 * 24 * 60 * 60)

/* Bytes free in a directory that can serve; 0: it cannot. */
static uint64_t room_in(const char *directory)
{
    struct statvfs status;
    /* The path goes into an options text that is separated by commas. */
    if (directory == NULL || directory[0] != '/' || strchr(directory, ',') != NULL ||
        access(directory, W_OK | X_OK) != 0 || statvfs(directory, &status) != 0)
        return 0;
    return (uint64_t)status.f_bavail * status.f_frsize;
}

/* ---- what others left ---- */

/* A snapshot that no process has open or mapped, in whatever container. */
static bool is_abandoned(const char *name, const char *path)
{
    unsigned long long pid, start;
    unsigned count;
    int end = 0;
    return sscanf(name, "brainmm.%llu.%llu.%u.bmm%n", &pid, &start, &count, &end) == 3 && end != 0 && name[end] == 0 &&
           bmm__snapshot_is_abandoned(path);
}

/* All that is in it, if that is abandoned snapshots alone. False: it is not, or there is nothing. */
static bool empty(DIR *directory, const char *path)
{
    bool is_any = false;
    for (int pass = 0; pass < 2; pass++) {
        const struct dirent *entry;
        rewinddir(directory);
        while ((entry = readdir(directory)) != NULL) {
            char file[PATH_MAX];
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                continue;
            if (snprintf(file, sizeof file, "%s/%s", path, entry->d_name) >= (int)sizeof file ||
                !is_abandoned(entry->d_name, file))
                return false;
            is_any = true;
            if (pass == 1)
                unlinkat(dirfd(directory), entry->d_name, 0);
        }
    }
    return is_any;
}

/* Removes the directory if it is a run's that has nothing but snapshots in it, is a week old, and nobody has it any more. */
static void remove_old(const char *path)
{
    int file = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (file < 0)
        return;
    DIR *directory = fstat(file, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & 07777) == 0700 &&
                             time(NULL) - status.st_mtime > WEEK && flock(file, LOCK_EX | LOCK_NB) == 0
                         ? fdopendir(file)
                         : NULL;
    if (directory == NULL) {
        close(file);
        return;
    }
    if (empty(directory, path))
        rmdir(path);
    closedir(directory);
}

static void sweep(const char *parent)
{
    const size_t name_length = strlen("brainmm.XXXXXX");
    DIR *directory = opendir(parent);
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char path[PATH_MAX];
        if (strncmp(entry->d_name, "brainmm.", strlen("brainmm.")) == 0 && strlen(entry->d_name) == name_length &&
            snprintf(path, sizeof path, "%s/%s", parent, entry->d_name) < (int)sizeof path)
            remove_old(path);
    }
    if (directory != NULL)
        closedir(directory);
}

/* ---- ---- */

bool bmm__place_make(struct bmm__place *place, struct bmm__why *why)
{
    const char *const candidates[] = { getenv("BRAINMM_DIR"), getenv("XDG_RUNTIME_DIR"), "/dev/shm", getenv("TMPDIR"),
                                       "/tmp" };
    const char *best = NULL;
    uint64_t most = 0;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates && most < ROOMY_BYTES; i++) {
        uint64_t room = room_in(candidates[i]);
        if (room > most) {
            most = room;
            best = candidates[i];
        }
    }
    if (best == NULL)
        return bmm__fail(why, "no writable directory to record in (BRAINMM_DIR, /dev/shm, TMPDIR, /tmp)");
    if (snprintf(place->path, sizeof place->path, "%s/brainmm.XXXXXX", best) >= (int)sizeof place->path ||
        mkdtemp(place->path) == NULL)
        return bmm__fail(why, "cannot make a directory in %s: %s", best, strerror(errno));
    place->lock = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place->lock >= 0)
        flock(place->lock, LOCK_EX | LOCK_NB);
    sweep(best);
    return true;
}

void bmm__place_remove(const struct bmm__place *place)
{
    if (rmdir(place->path) == 0) /* which needs no file descriptor */
        return;
    DIR *directory = opendir(place->path);
    if (directory == NULL)
        return;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(place->path);
}
