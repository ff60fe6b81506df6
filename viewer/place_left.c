#define _GNU_SOURCE
#include "viewer/place_left.h"

#include "report/process_alive.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define MARK ".brainmm-run"
#define WEEK ((time_t)7 * 24 * 60 * 60)
#define ABANDONED "abandoned\n"
#define LIBRARY_LINK "libbrainmm_debug.so"

/* ---- the mark ---- */

enum mark_says { NOT_OURS, IN_USE, ABANDONED_LATELY, ABANDONED_LONG };

/* Who shares a directory between machines does not see from the one what the other has open. */
static int host_line(char line[], size_t bytes)
{
    struct utsname names;
    return uname(&names) == 0 ? snprintf(line, bytes, "%s\n", names.nodename) : 0;
}

void bmm__place_mark(int directory)
{
    char host[sizeof((struct utsname *)0)->nodename + 1];
    int length = host_line(host, sizeof host);
    int file = openat(directory, MARK, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return;
    if (write(file, host, (size_t)length) != length)
        unlinkat(directory, MARK, 0);
    close(file);
}

static enum mark_says read_mark(int file)
{
    char host[sizeof((struct utsname *)0)->nodename + 1], text[sizeof host + sizeof ABANDONED];
    struct stat status;
    int length = host_line(host, sizeof host);
    ssize_t bytes = pread(file, text, sizeof text, 0);
    if (length == 0 || bytes < length || memcmp(text, host, (size_t)length) != 0 || fstat(file, &status) != 0)
        return NOT_OURS;
    if (bytes == length)
        return IN_USE;
    if ((size_t)(bytes - length) != strlen(ABANDONED) || memcmp(text + length, ABANDONED, strlen(ABANDONED)) != 0)
        return NOT_OURS;
    return time(NULL) - status.st_mtime > WEEK ? ABANDONED_LONG : ABANDONED_LATELY;
}

/* ---- a run's directory ---- */

static bool is_snapshot_name(const char *name)
{
    unsigned long long pid, start;
    unsigned count;
    int end = 0;
    return sscanf(name, "brainmm.%llu.%llu.%u.bmm%n", &pid, &start, &count, &end) == 3 && end != 0 && name[end] == 0;
}

static bool is_link(int directory, const char *name)
{
    struct stat status;
    return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
}

/* What a run itself puts there; of snapshots those that no process has open or mapped, in whatever container. */
static bool is_left(int directory, const char *name)
{
    if (strcmp(name, MARK) == 0)
        return true;
    if (strcmp(name, LIBRARY_LINK) == 0)
        return is_link(directory, name);
    return is_snapshot_name(name) && bmm__snapshot_is_abandoned(directory, name);
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool is_all_left(DIR *directory)
{
    const struct dirent *entry;
    rewinddir(directory);
    while ((entry = readdir(directory)) != NULL)
        if (!is_dots(entry->d_name) && !is_left(dirfd(directory), entry->d_name))
            return false;
    return true;
}

void bmm__place_empty(DIR *directory, bool (*may_go)(int directory, const char *name))
{
    const struct dirent *entry;
    bool is_all = true;
    rewinddir(directory);
    while ((entry = readdir(directory)) != NULL)
        if (!is_dots(entry->d_name) && strcmp(entry->d_name, MARK) != 0)
            is_all &= (may_go == NULL || may_go(dirfd(directory), entry->d_name)) &&
                      unlinkat(dirfd(directory), entry->d_name, 0) == 0;
    if (is_all)
        unlinkat(dirfd(directory), MARK, 0);
}

/* One that is this user's alone. */
static DIR *open_run(int parent, const char *name)
{
    int file = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    DIR *directory = NULL;
    if (file >= 0 && fstat(file, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & 0777) == 0700)
        directory = fdopendir(file);
    if (directory == NULL && file >= 0)
        close(file);
    return directory;
}

/* What a write changes only in part is nobody's for ever. */
static void change_mark(int mark, bool is_abandoned)
{
    char host[sizeof((struct utsname *)0)->nodename + 1];
    int failed = is_abandoned ? write(mark, ABANDONED, strlen(ABANDONED)) < 0
                              : ftruncate(mark, host_line(host, sizeof host)) != 0;
    (void)failed;
}

static void look_at(int parent, const char *name)
{
    DIR *directory = open_run(parent, name);
    if (directory == NULL)
        return;
    int mark = openat(dirfd(directory), MARK, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    /* A run locks its directory before it marks it: one without a mark must not be locked by us then. */
    if (mark >= 0 && read_mark(mark) != NOT_OURS && flock(dirfd(directory), LOCK_EX | LOCK_NB) == 0) {
        enum mark_says says = read_mark(mark); /* as it is now, for another run may have looked just before */
        bool is_nobodys = is_all_left(directory);
        if (is_nobodys && says == ABANDONED_LONG) {
            bmm__place_empty(directory, is_left);
            unlinkat(parent, name, AT_REMOVEDIR);
        } else if (says != NOT_OURS && is_nobodys == (says == IN_USE)) {
            change_mark(mark, is_nobodys);
        }
    }
    if (mark >= 0)
        close(mark);
    closedir(directory);
}

void bmm__place_sweep(const char *parent)
{
    DIR *directory = opendir(parent);
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        if (strncmp(entry->d_name, "brainmm.", strlen("brainmm.")) == 0 &&
            strlen(entry->d_name) == strlen("brainmm.XXXXXX"))
            look_at(dirfd(directory), entry->d_name);
    if (directory != NULL)
        closedir(directory);
}
