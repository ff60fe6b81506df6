#define _GNU_SOURCE
#include "report/output.h"

#include "report/write_json.h"
#include "report/write_sqlite.h"
#include "report/write_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)64 << 10)

const char *volatile bmm__output_unfinished;

enum bmm__format bmm__format_of_path(const char *path)
{
    static const struct {
        const char *end;
        enum bmm__format format;
    } ends[] = { { ".txt", BMM_FORMAT_TEXT },
                 { ".json", BMM_FORMAT_JSON },
                 { ".db", BMM_FORMAT_SQLITE },
                 { ".sqlite", BMM_FORMAT_SQLITE },
                 { ".sqlite3", BMM_FORMAT_SQLITE } };
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t end = strlen(ends[i].end);
        if (length > end && strcmp(path + length - end, ends[i].end) == 0)
            return ends[i].format;
    }
    return BMM_FORMAT_NONE;
}

enum bmm__format bmm__format_of_word(const char *word)
{
    return strcmp(word, "text") == 0     ? BMM_FORMAT_TEXT
           : strcmp(word, "json") == 0   ? BMM_FORMAT_JSON
           : strcmp(word, "sqlite") == 0 ? BMM_FORMAT_SQLITE
                                         : BMM_FORMAT_NONE;
}

/* The file that will be replaced: of a symbolic link what it points to, so that the link stays. Freed by the caller. */
static char *target_of(const char *path)
{
    char *target = realpath(path, NULL);
    return target != NULL ? target : strdup(path);
}

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

bool bmm__output_check(const char *path, struct bmm__why *why)
{
    if (bmm__format_of_path(path) == BMM_FORMAT_NONE)
        return bmm__fail(why, "cannot write report %s: its name must end in .json, .db or .txt", path);
    char *target = target_of(path), *directory = target != NULL ? directory_of(target) : NULL;
    struct stat status;
    bool is_good = true;
    if (directory == NULL)
        is_good = bmm__fail(why, "cannot write report %s: out of memory", path);
    else if (stat(directory, &status) == 0 && !S_ISDIR(status.st_mode))
        is_good = bmm__fail(why, "cannot write report %s: %s: %s", path, directory, strerror(ENOTDIR));
    else if (access(directory, W_OK | X_OK) != 0)
        is_good = bmm__fail(why, "cannot write report %s: %s: %s", path, directory, strerror(errno));
    else if (stat(target, &status) == 0 && !S_ISREG(status.st_mode))
        is_good = bmm__fail(why, "cannot write report %s: not a regular file", path);
    free(directory);
    free(target);
    return is_good;
}

static bool write_stream(const struct bmm__report *report, enum bmm__format format, int file, bool is_contents,
                         struct bmm__why *why)
{
    FILE *out = fdopen(file, "w");
    if (out == NULL) {
        close(file);
        return bmm__fail(why, "%s", strerror(errno));
    }
    char *buffer = malloc(BUFFER_BYTES); /* NULL: the stream's own, a page */
    if (buffer != NULL)
        setvbuf(out, buffer, _IOFBF, BUFFER_BYTES);
    if (format == BMM_FORMAT_JSON)
        bmm__write_json(report, out);
    else
        bmm__write_text(report, out, &(struct bmm__text_options){ .is_contents = is_contents });
    bool is_written = fflush(out) == 0 && !ferror(out);
    int reason = errno;
    if (fclose(out) != 0 && is_written) { /* some file systems find out only now that they are full */
        is_written = false;
        reason = errno;
    }
    free(buffer);
    return is_written || bmm__fail(why, "%s", strerror(reason));
}

/* A file that is replaced stays what it was; data of the program are for the user alone. */
static mode_t mode_of(const char *target, bool is_contents)
{
    struct stat old;
    if (stat(target, &old) == 0)
        return old.st_mode & 0777;
    mode_t mask = umask(0);
    umask(mask);
    return (is_contents ? 0600 : 0666) & ~mask;
}

static bool write_and_rename(const struct bmm__report *report, enum bmm__format format, const char *target,
                             char *temporary, bool is_contents, struct bmm__why *why)
{
    int file = mkostemp(temporary, O_CLOEXEC);
    if (file < 0)
        return bmm__fail(why, "%s", strerror(errno));
    bmm__output_unfinished = temporary;
    bool is_written;
    if (format == BMM_FORMAT_SQLITE) {
        close(file); /* SQLite opens it by name */
        is_written = bmm__write_sqlite(report, temporary, why);
    } else {
        is_written = write_stream(report, format, file, is_contents, why);
    }
    if (is_written &&
        chmod(temporary, mode_of(target, is_contents)) != 0) /* last: it may be one that cannot be written to */
        is_written = bmm__fail(why, "%s", strerror(errno));
    if (is_written && rename(temporary, target) != 0)
        is_written = bmm__fail(why, "%s", strerror(errno));
    if (!is_written)
        unlink(temporary);
    bmm__output_unfinished = NULL;
    return is_written;
}

/* A device or a pipe is no file that could be replaced: it is written to. */
static bool write_into(const struct bmm__report *report, enum bmm__format format, const char *path, bool is_contents,
                       struct bmm__why *why)
{
    if (format == BMM_FORMAT_SQLITE)
        return bmm__fail(why, "a database needs a regular file");
    int file = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return file >= 0 ? write_stream(report, format, file, is_contents, why) : bmm__fail(why, "%s", strerror(errno));
}

static bool is_special(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

bool bmm__output_write(const struct bmm__report *report, enum bmm__format format, const char *path, bool is_contents,
                       struct bmm__why *why)
{
    char *target = target_of(path), *directory = target != NULL ? directory_of(target) : NULL, *temporary = NULL;
    struct bmm__why inner = { "out of memory" };
    bool is_written;
    if (is_special(path))
        is_written = write_into(report, format, path, is_contents, &inner);
    else
        is_written = directory != NULL && asprintf(&temporary, "%s/.brainmm-report.XXXXXX", directory) > 0 &&
                     write_and_rename(report, format, target, temporary, is_contents, &inner);
    free(temporary);
    free(directory);
    free(target);
    return is_written || bmm__fail(why, "cannot write report %s: %s", path, inner.text);
}
