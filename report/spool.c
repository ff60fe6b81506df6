#define _GNU_SOURCE
#include "report/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool write_all(int file, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(file, bytes, count);
        if (written < 0 && errno != EINTR)
            return false;
        bytes += written > 0 ? written : 0;
        count -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

static bool copy(int from, int to)
{
    char buffer[65536];
    ssize_t bytes;
    while ((bytes = read(from, buffer, sizeof buffer)) != 0)
        if (bytes < 0 ? errno != EINTR : !write_all(to, buffer, (size_t)bytes))
            return false;
    return true;
}

static bool copy_to_file(struct bmm__spool *spool, int from, const char *path, struct bmm__why *why)
{
    const char *directory = getenv("TMPDIR");
    snprintf(spool->path, sizeof spool->path, "%s/brainmm.XXXXXX",
             directory != NULL && directory[0] != 0 ? directory : "/tmp");
    int to = mkostemp(spool->path, O_CLOEXEC);
    if (to < 0) {
        spool->path[0] = 0;
        return bmm__fail(why, "%s: no temporary file for it: %s", path, strerror(errno));
    }
    bool is_copied = copy(from, to) || bmm__fail(why, "%s: %s", path, strerror(errno));
    close(to);
    if (!is_copied)
        bmm__spool_close(spool);
    return is_copied;
}

bool bmm__spool_open(struct bmm__spool *spool, const char *path, struct bmm__why *why)
{
    spool->path[0] = 0;
    bool is_stdin = strcmp(path, "-") == 0;
    /* O_NONBLOCK: a FIFO that nobody writes to must not hold us up. */
    int file = is_stdin ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) {
        bmm__fail(why, "%s: %s", path, strerror(errno));
        if (file >= 0)
            close(file);
        return false;
    }
    bool is_good = true;
    if (S_ISDIR(status.st_mode))
        is_good = bmm__fail(why, "%s: %s", path, strerror(EISDIR));
    else if (is_stdin || !S_ISREG(status.st_mode))
        is_good = (is_stdin || fcntl(file, F_SETFL, 0) == 0) && copy_to_file(spool, file, path, why);
    close(file);
    return is_good;
}

void bmm__spool_close(struct bmm__spool *spool)
{
    if (spool->path[0] != 0)
        unlink(spool->path);
    spool->path[0] = 0;
}
