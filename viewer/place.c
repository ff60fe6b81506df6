#define _GNU_SOURCE
#include "viewer/place.h"

#include "viewer/message.h"
#include "viewer/place_left.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ROOMY_BYTES ((uint64_t)256 << 20)

/* Bytes free in a directory that can serve, when what others left there is gone; 0: it cannot. */
static uint64_t room_in(const char *directory)
{
    struct statvfs status;
    /* The path goes into an options text that is separated by commas. */
    if (directory == NULL || directory[0] != '/' || strchr(directory, ',') != NULL ||
        access(directory, W_OK | X_OK) != 0)
        return 0;
    bmm__place_sweep(directory);
    return statvfs(directory, &status) == 0 ? (uint64_t)status.f_bavail * status.f_frsize : 0;
}

bool bmm__place_make(struct bmm__place *place, struct bmm__why *why)
{
    const char *const candidates[] = { getenv("BRAINMM_DIR"), getenv("XDG_RUNTIME_DIR"), "/dev/shm", getenv("TMPDIR"),
                                       "/tmp" };
    const char *best = NULL;
    uint64_t most = 0;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates && most < ROOMY_BYTES; i++) {
        uint64_t room = room_in(candidates[i]);
        if (i == 0 && candidates[i] != NULL && candidates[i][0] != 0 && room == 0)
            bmm__say(
                "BRAINMM_DIR=%s is not used: it is no directory that can be written to, or is full, or its path does "
                "not begin with / or has a comma",
                candidates[i]);
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
    if (place->lock >= 0 && flock(place->lock, LOCK_EX | LOCK_NB) == 0)
        bmm__place_mark(place->lock);
    return true;
}

void bmm__place_remove(const struct bmm__place *place)
{
    /* That which is open, for there may be no other; it is not locked any more then. */
    DIR *directory = place->lock >= 0 ? fdopendir(place->lock) : opendir(place->path);
    if (directory != NULL) {
        bmm__place_empty(directory, NULL);
        closedir(directory);
    }
    rmdir(place->path);
}
