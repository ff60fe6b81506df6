/* See exec.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "exec.h"

#include "error.h"
#include "options.h"
#include "process.h"
#include "recorder_lost.h"
#include "target.h"
#include "unchecked.h"

#include "core/os.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef int spawn_function(pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *actions,
                           const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
                           char *const environment[restrict]);
static spawn_function *real_spawn, *real_spawnp;

static spawn_function *find_next(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    spawn_function *function;
    memcpy(&function, &symbol, sizeof symbol); /* a function pointer, as POSIX wants it made */
    return function;
}

void bmm__exec_start(void)
{
    real_spawn = find_next("posix_spawn");
    real_spawnp = find_next("posix_spawnp");
    if (bmm__options.mode != BMM_MODE_OFF)
        bmm__unchecked_start();
}

/* ---- this process's state ---- */

/* The recorder is this process's, not that of a parent whose memory a child of vfork uses. */
static bool has_own_recorder(void)
{
    return bmm__options.mode != BMM_MODE_OFF && bmm__recorder_is_open() &&
           bmm__recorder_header()->pid == bmm__os_process_id();
}

/* What an exec that fails has to take back. */
struct departure {
    bool is_marked; /* the state says EXECED */
    struct bmm__lost_change lost;
};

static bool tells_of_children(void)
{
    return bmm__options.mode != BMM_MODE_OFF && bmm__unchecked_is_wanted();
}

/* Without a manager the next image removes this file, since it has nothing to tell; unless there were errors. */
static struct departure leave(void)
{
    struct departure departure = { false, { NULL, NULL } };
    if (tells_of_children())
        departure.lost = bmm__lost_leave(bmm__error_count() == 0);
    if (!has_own_recorder())
        return departure;
    if (!bmm__options.is_managed && bmm__error_count() != 0) {
        bmm__error_say_where("errors were found before exec");
        return departure;
    }
    bmm__store_release(&bmm__recorder_header()->state, (uint32_t)BMM_SNAPSHOT_EXECED);
    departure.is_marked = true;
    return departure;
}

static void stay(const struct departure *departure)
{
    bmm__lost_stay(&departure->lost);
    if (departure->is_marked)
        bmm__store_release(&bmm__recorder_header()->state, (uint32_t)BMM_SNAPSHOT_RUNNING);
}

static int exec_path(const char *path, char *const arguments[], char *const environment[])
{
    const struct departure departure = leave();
    int result = bmm__os_exec(path, arguments, environment);
    stay(&departure);
    return result;
}

static void look(const char *path, char *const environment[])
{
    if (bmm__options.mode == BMM_MODE_OFF)
        return;
    int saved_errno = errno;
    bmm__unchecked_look(path, environment);
    errno = saved_errno;
}

/* ---- the search of execvp ---- */

static int exec_by_shell(const char *path, char *const arguments[], char *const environment[])
{
    size_t count = 0;
    while (arguments[count] != NULL)
        count++;
    char **shell = __builtin_alloca((count + 3) * sizeof *shell); /* Z1 */
    char name[] = "/bin/sh";
    shell[0] = name;
    memcpy(&shell[1], &path, sizeof path); /* without const, as exec wants its strings */
    size_t i = 1;
    for (; i < count; i++)
        shell[i + 1] = arguments[i];
    shell[i + 1] = NULL;
    look(name, environment);
    return exec_path(name, shell, environment);
}

static int exec_or_shell(const char *path, char *const arguments[], char *const environment[])
{
    exec_path(path, arguments, environment);
    return errno == ENOEXEC ? exec_by_shell(path, arguments, environment) : -1;
}

static int exec_search(const char *name, char *const arguments[], char *const environment[])
{
    if (*name == '\0') {
        errno = ENOENT;
        return -1;
    }
    char path[PATH_MAX];
    const char *found = bmm__target_search(name, path, sizeof path);
    if (found != NULL)
        look(found, environment);
    if (strchr(name, '/') != NULL)
        return exec_or_shell(name, arguments, environment);
    bool was_denied = false;
    struct bmm__candidates candidates = bmm__candidates_of(name);
    while (bmm__candidates_next(&candidates, path, sizeof path)) {
        exec_or_shell(path, arguments, environment);
        if (errno == EACCES)
            was_denied = true;
        else if (errno != ENOENT && errno != ESTALE && errno != ENOTDIR && errno != ENODEV && errno != ETIMEDOUT)
            return -1;
    }
    errno = was_denied ? EACCES : ENOENT;
    return -1;
}

/* ---- with arrays ---- */

EXPORT int execve(const char *path, char *const arguments[], char *const environment[])
{
    look(path, environment);
    return exec_path(path, arguments, environment);
}

EXPORT int execv(const char *path, char *const arguments[])
{
    return execve(path, arguments, environ);
}

EXPORT int execvpe(const char *name, char *const arguments[], char *const environment[])
{
    return exec_search(name, arguments, environment);
}

EXPORT int execvp(const char *name, char *const arguments[])
{
    return exec_search(name, arguments, environ);
}

EXPORT int fexecve(int file, char *const arguments[], char *const environment[])
{
    char link[32] = "/proc/self/fd/";
    size_t at = strlen(link);
    char digits[12];
    size_t first = sizeof digits;
    unsigned number = file < 0 ? 0 : (unsigned)file;
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    memcpy(link + at, digits + first, sizeof digits - first);
    link[at + sizeof digits - first] = '\0';
    if (file >= 0)
        look(link, environment);
    const struct departure departure = leave();
    int result = bmm__os_exec_file(file, arguments, environment);
    stay(&departure);
    return result;
}

/* ---- with argument lists: counted, then copied to the stack (Z1) ---- */

static size_t count_list(va_list list)
{
    size_t count = 1;
    while (va_arg(list, char *) != NULL)
        count++;
    return count;
}

/* With the NULL at the end, behind which the list is left. */
static void copy_list(char **arguments, size_t count, const char *first, va_list *list)
{
    memcpy(&arguments[0], &first, sizeof first);
    for (size_t i = 1; i <= count; i++)
        arguments[i] = va_arg(*list, char *);
}

/* Declares list and arguments, the latter on the stack of whoever uses it, and leaves list open behind the NULL. */
#define TAKE_ARGUMENTS(first) \
    va_list list; \
    va_start(list, first); \
    size_t argument_count = count_list(list); \
    va_end(list); \
    char **arguments = __builtin_alloca((argument_count + 1) * sizeof *arguments); \
    va_start(list, first); \
    copy_list(arguments, argument_count, first, &list)

EXPORT int execl(const char *path, const char *first, ...)
{
    TAKE_ARGUMENTS(first);
    va_end(list);
    return execve(path, arguments, environ);
}

EXPORT int execlp(const char *name, const char *first, ...)
{
    TAKE_ARGUMENTS(first);
    va_end(list);
    return exec_search(name, arguments, environ);
}

EXPORT int execle(const char *path, const char *first, ...)
{
    TAKE_ARGUMENTS(first);
    char *const *environment = va_arg(list, char *const *);
    va_end(list);
    return execve(path, arguments, environment);
}

/* ---- spawn ---- */

static int spawn(spawn_function *real, pid_t *restrict pid, const char *restrict name,
                 const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *restrict attributes,
                 char *const arguments[restrict], char *const environment[restrict])
{
    if (real == NULL)
        return ENOSYS;
    struct bmm__lost_change lost = { NULL, NULL };
    if (tells_of_children())
        lost = bmm__lost_leave(false);
    int result = real(pid, name, actions, attributes, arguments, environment);
    if (result != 0)
        bmm__lost_stay(&lost);
    return result;
}

EXPORT int posix_spawn(pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
                       char *const environment[restrict])
{
    if (real_spawn == NULL)
        bmm__exec_start();
    look(path, environment);
    return spawn(real_spawn, pid, path, actions, attributes, arguments, environment);
}

EXPORT int posix_spawnp(pid_t *restrict pid, const char *restrict name, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
                        char *const environment[restrict])
{
    if (real_spawnp == NULL)
        bmm__exec_start();
    char path[PATH_MAX];
    const char *found = bmm__options.mode != BMM_MODE_OFF ? bmm__target_search(name, path, sizeof path) : NULL;
    if (found != NULL)
        look(found, environment);
    return spawn(real_spawnp, pid, name, actions, attributes, arguments, environment);
}
