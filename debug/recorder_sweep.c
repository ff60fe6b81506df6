/* See recorder_sweep.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "recorder_sweep.h"

#include "brainmm/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BYTES 64

struct orphan {
    uint64_t birth; /* of its process, as its name says */
    char name[NAME_BYTES];
};

struct sweep {
    int directory;
    uint32_t found_count; /* recorders of whatever kind */
    struct orphan newest[BMM__RECORDER_ORPHANS_MAX];
    uint32_t count;
};

static bool take_number(const char **at, uint64_t *number)
{
    const char *start = *at;
    *number = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++)
        *number = *number * 10 + (uint64_t)(**at - '0');
    return *at != start;
}

/* brainmm.<pid>.<birth>.<n>.bmm */
static bool is_recorder(const char *name, uint64_t *birth)
{
    uint64_t ignored;
    const char *at = name + strlen("brainmm.");
    return strncmp(name, "brainmm.", strlen("brainmm.")) == 0 && strlen(name) < NAME_BYTES &&
           take_number(&at, &ignored) && *at++ == '.' && take_number(&at, birth) && *at++ == '.' &&
           take_number(&at, &ignored) && strcmp(at, ".bmm") == 0;
}

/* A write lease is given to nobody but a file's only user, and a mapping is a use. Whoever opens the file meanwhile
 * makes the system send a signal: one that is ignored. */
static bool is_abandoned(int file)
{
    struct stat status;
    return fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
           fcntl(file, F_SETSIG, SIGURG) == 0 && fcntl(file, F_SETLEASE, F_WRLCK) == 0;
}

static bool is_without_errors(int file)
{
    struct bmm_snapshot_header header;
    if (pread(file, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        memcmp(header.magic, BMM_SNAPSHOT_MAGIC, sizeof header.magic) != 0)
        return false;
    for (uint32_t i = 0; i < header.chunk_count && i < BMM_SNAPSHOT_CHUNKS_MAX; i++) {
        struct bmm_snapshot_chunk chunk;
        uint32_t is_committed;
        if (pread(file, &chunk, sizeof chunk, (off_t)(header.chunks_offset + i * sizeof chunk)) !=
            (ssize_t)sizeof chunk)
            return false;
        if (chunk.type == BMM_CHUNK_ERRORS)
            return pread(file, &is_committed, sizeof is_committed,
                         (off_t)(chunk.offset + offsetof(struct bmm_snapshot_error, committed))) ==
                       (ssize_t)sizeof is_committed &&
                   is_committed == 0;
    }
    return false; /* it has not begun */
}

static bool is_orphan(int directory, const char *name)
{
    int file = openat(directory, name, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (file < 0)
        return false;
    bool is = is_abandoned(file) && is_without_errors(file);
    close(file); /* and the lease with it */
    return is;
}

/* Keeps it among the newest, of which the oldest goes when there are too many. */
static void keep(struct sweep *s, const char *name, uint64_t birth)
{
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < s->count; i++)
        if (s->newest[i].birth < s->newest[oldest].birth)
            oldest = i;
    struct orphan *place = &s->newest[s->count < BMM__RECORDER_ORPHANS_MAX ? s->count++ : oldest];
    if (place->name[0] != '\0') {
        unlinkat(s->directory, birth > place->birth ? place->name : name, 0);
        if (birth <= place->birth)
            return;
    }
    place->birth = birth;
    memcpy(place->name, name, strlen(name) + 1);
}

static void look(struct sweep *s, const char *name, bool is_counting)
{
    uint64_t birth;
    if (!is_recorder(name, &birth))
        return;
    if (is_counting)
        s->found_count++;
    else if (is_orphan(s->directory, name))
        keep(s, name, birth);
}

/* Not readdir: it allocates, and would stand among the program's allocations. */
static void list(struct sweep *s, bool is_counting)
{
    _Alignas(struct dirent64) char buffer[4096];
    ssize_t bytes;
    lseek(s->directory, 0, SEEK_SET);
    while ((bytes = getdents64(s->directory, buffer, sizeof buffer)) > 0)
        for (ssize_t at = 0; at < bytes;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
            look(s, entry->d_name, is_counting);
            at += entry->d_reclen;
        }
}

void bmm__recorder_sweep(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) : 0;
    if (length == 0 || length >= sizeof directory)
        return;
    int saved_errno = errno;
    memcpy(directory, path, length);
    directory[length] = '\0';
    struct sweep s = { .directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    if (s.directory >= 0) {
        list(&s, true);
        if (s.found_count > BMM__RECORDER_ORPHANS_MAX)
            list(&s, false);
        close(s.directory);
    }
    errno = saved_errno;
}
