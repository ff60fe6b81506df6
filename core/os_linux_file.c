/* The contract of os.h on Linux: files, environment, other processes. Raw system calls throughout: none of them is a
 * cancellation point, and an interposed open() of the program is not ours to call. */
#define _GNU_SOURCE
#include "core/assert.h"
#include "core/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef OVERLAYFS_SUPER_MAGIC
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#endif

extern void *__libc_stack_end __attribute__((weak));

static int open_raw(const char *path, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

/* What the kernel laid on the stack for the program: argc, argv, NULL, environment, NULL. Readable before libc is. */
static char **initial_environment(void)
{
    if (&__libc_stack_end == NULL || __libc_stack_end == NULL)
        return NULL;
    long *top = __libc_stack_end;
    return (char **)(top + 1 + top[0] + 1);
}

const char *bmm__os_environment(const char *name)
{
    static bool has_started; /* afterwards NULL means that the program has cleared it */
    has_started = has_started || environ != NULL;
    char **entry = has_started ? environ : initial_environment();
    size_t length = strlen(name);
    for (; entry != NULL && *entry != NULL; entry++)
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    return NULL;
}

bool bmm__os_environment_put(char *entry, void *(*alloc)(size_t bytes))
{
    size_t count = 0, name_length = strcspn(entry, "=") + 1;
    for (; environ != NULL && environ[count] != NULL; count++)
        if (strncmp(environ[count], entry, name_length) == 0) {
            environ[count] = entry;
            return true;
        }
    char **longer = alloc((count + 2) * sizeof *longer);
    if (longer == NULL)
        return false;
    if (count != 0)
        memcpy(longer, environ, count * sizeof *longer);
    longer[count] = entry;
    longer[count + 1] = NULL;
    environ = longer;
    return true;
}

static long read_whole(const char *path, char *buffer, size_t capacity)
{
    int saved_errno = errno;
    int file = open_raw(path, O_RDONLY);
    long total = 0;
    while (file >= 0 && (size_t)total < capacity) {
        long got = syscall(SYS_read, file, buffer + total, capacity - (size_t)total);
        if (got <= 0)
            break;
        total += got;
    }
    if (file >= 0)
        syscall(SYS_close, file);
    errno = saved_errno;
    return total;
}

size_t bmm__os_command_line(char *buffer, size_t capacity)
{
    return (size_t)read_whole("/proc/self/cmdline", buffer, capacity);
}

bool bmm__os_counts_mapped(void)
{
    char mode;
    return read_whole("/proc/sys/vm/overcommit_memory", &mode, 1) == 1 && mode == '2';
}

uint64_t bmm__os_process_birth(void)
{
    char text[1024];
    long bytes = read_whole("/proc/self/stat", text, sizeof text - 1);
    text[bytes] = '\0';
    const char *field = strrchr(text, ')'); /* the name may hold anything, also spaces and parentheses */
    for (int i = 0; i < 20 && field != NULL; i++)
        field = strchr(field + 1, ' ');
    uint64_t birth = 0;
    for (field = field == NULL ? "" : field + 1; *field >= '0' && *field <= '9'; field++)
        birth = birth * 10 + (uint64_t)(*field - '0');
    return birth;
}

size_t bmm__os_resident_bytes(void)
{
    char text[128];
    long bytes = read_whole("/proc/self/statm", text, sizeof text - 1);
    size_t pages = 0;
    if (bytes <= 0)
        return 0;
    text[bytes] = '\0';
    const char *second = strchr(text, ' '); /* total, resident, … */
    for (const char *digit = second == NULL ? "" : second + 1; *digit >= '0' && *digit <= '9'; digit++)
        pages = pages * 10 + (size_t)(*digit - '0');
    return pages * bmm__os_page_bytes();
}

void bmm__os_write_error(const char *text, size_t bytes)
{
    int saved_errno = errno;
    /* stderr may be a file at its limit, or a pipe that nobody reads: the signal for that is taken away before the
     * program can die of it. */
    sigset_t refusals, before;
    sigemptyset(&refusals);
    sigaddset(&refusals, SIGXFSZ);
    sigaddset(&refusals, SIGPIPE);
    sigprocmask(SIG_BLOCK, &refusals, &before);
    while (bytes != 0) {
        long written = syscall(SYS_write, 2, text, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && (errno == EFBIG || errno == EPIPE)) {
            static const struct timespec at_once = { 0, 0 };
            sigtimedwait(&refusals, NULL, &at_once);
        }
        if (written <= 0)
            break;
        text += written;
        bytes -= (size_t)written;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = saved_errno;
}

int bmm__os_file_create(const char *path)
{
    return open_raw(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW);
}

int bmm__os_file_open(const char *path)
{
    return open_raw(path, O_RDONLY | O_NONBLOCK);
}

int bmm__os_file_reopen(const char *path)
{
    return open_raw(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK); /* who has a lease on it is not waited for */
}

long bmm__os_file_read(int file, void *buffer, size_t bytes)
{
    return syscall(SYS_read, file, buffer, bytes);
}

long bmm__os_file_read_at(int file, uint64_t offset, void *buffer, size_t bytes)
{
    return syscall(SYS_pread64, file, buffer, bytes, (off_t)offset);
}

bool bmm__os_file_append(const char *path, const void *data, size_t bytes)
{
    int file = open_raw(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW);
    if (file < 0)
        return false;
    bool is_written = syscall(SYS_write, file, data, bytes) == (long)bytes;
    syscall(SYS_close, file);
    return is_written;
}

/* What a file system that cannot allocate (NFS before 4.2, most in user space) is brought to by writing: what is there
 * already, as what it is, and zeros. */
static bool write_all(int file, uint64_t offset, uint64_t bytes)
{
    char block[4096];
    for (uint64_t end = offset + bytes; offset < end;) {
        size_t step = end - offset < sizeof block ? (size_t)(end - offset) : sizeof block;
        memset(block, 0, step);
        long done = syscall(SYS_pread64, file, block, step, (off_t)offset);
        if (done >= 0) /* a short read: the file's end, and zeros from there */
            done = syscall(SYS_pwrite64, file, block, step, (off_t)offset);
        if (done > 0)
            offset += (uint64_t)done;
        else if (done == 0 || errno != EINTR)
            return false;
    }
    return true;
}

bool bmm__os_file_allocate(int file, uint64_t offset, uint64_t bytes)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && offset + bytes > limit.rlim_cur) {
        errno = EFBIG;
        return false;
    }
    while (syscall(SYS_fallocate, file, 0, (off_t)offset, (off_t)bytes) != 0)
        if (errno != EINTR)
            return (errno == EOPNOTSUPP || errno == ENOSYS) && write_all(file, offset, bytes);
    return true;
}

void *bmm__os_file_map(int file, uint64_t offset, size_t bytes, void *at)
{
    void *start =
        mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (at != NULL ? MAP_FIXED : 0), file, (off_t)offset);
    return start == MAP_FAILED ? NULL : start;
}

void *bmm__os_map_again(void *start, size_t bytes)
{
    int saved_errno = errno;
    void *again = mremap(start, 0, bytes, MREMAP_MAYMOVE); /* of what is shared a length of 0 moves nothing */
    errno = saved_errno;
    return again != MAP_FAILED ? again : NULL;
}

bool bmm__os_private_map(void *at, size_t bytes)
{
    return mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

void bmm__os_file_close(int file)
{
    int saved_errno = errno;
    syscall(SYS_close, file);
    errno = saved_errno;
}

bool bmm__os_file_remove(const char *path)
{
    int saved_errno = errno;
    bool is_removed = syscall(SYS_unlinkat, AT_FDCWD, path, 0) == 0;
    errno = saved_errno;
    return is_removed;
}

/* faccessat asks for the real user, and a filter of system calls may not know the newer call: so that only if there is a difference. */
bool bmm__os_directory_is_writable(const char *path)
{
    int saved_errno = errno;
    bool is_plain = getuid() == geteuid() && getgid() == getegid();
    bool is_writable = !is_plain && syscall(SYS_faccessat2, AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0;
    if (is_plain || (!is_writable && (errno == ENOSYS || errno == EPERM)))
        is_writable = syscall(SYS_faccessat, AT_FDCWD, path, W_OK | X_OK) == 0;
    errno = saved_errno;
    return is_writable;
}

uint64_t bmm__os_directory_free(const char *path)
{
    int saved_errno = errno;
    struct statfs facts;
    struct stat what;
    uint64_t bytes = 0;
    if (fstatat(AT_FDCWD, path, &what, 0) == 0 && S_ISDIR(what.st_mode) && bmm__os_directory_is_writable(path) &&
        statfs(path, &facts) == 0)
        bytes = (uint64_t)facts.f_bavail * (uint64_t)facts.f_bsize;
    errno = saved_errno;
    return bytes;
}

bool bmm__os_directory_now(char *buffer, size_t capacity)
{
    int saved_errno = errno;
    bool is_known = syscall(SYS_getcwd, buffer, capacity) > 0 && buffer[0] == '/'; /* else "(unreachable)…" */
    errno = saved_errno;
    return is_known;
}

bool bmm__os_is_missing(const char *path)
{
    struct stat what;
    int saved_errno = errno;
    bool is_missing = fstatat(AT_FDCWD, path, &what, 0) != 0 && errno == ENOENT;
    errno = saved_errno;
    return is_missing;
}

bool bmm__os_is_file(const char *path)
{
    struct stat what;
    int saved_errno = errno;
    bool is_file = fstatat(AT_FDCWD, path, &what, 0) == 0 && S_ISREG(what.st_mode);
    errno = saved_errno;
    return is_file;
}

long bmm__os_link_read(const char *path, char *buffer, size_t capacity)
{
    int saved_errno = errno;
    long bytes = syscall(SYS_readlinkat, AT_FDCWD, path, buffer, capacity - 1);
    if (bytes >= 0)
        buffer[bytes] = '\0';
    errno = saved_errno;
    return bytes;
}

bool bmm__os_file_facts(int file, struct bmm__os_file_facts *facts)
{
    struct stat what;
    if (fstat(file, &what) != 0)
        return false;
    char capabilities[64];
    facts->volume = what.st_dev;
    facts->number = what.st_ino;
    facts->is_regular = S_ISREG(what.st_mode);
    facts->raises_rights =
        ((what.st_mode & S_ISUID) != 0 && what.st_uid != (uid_t)syscall(SYS_geteuid)) ||
        ((what.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && what.st_gid != (gid_t)syscall(SYS_getegid)) ||
        syscall(SYS_fgetxattr, file, "security.capability", capabilities, sizeof capabilities) > 0;
    return true;
}

/* A write lease is given to nobody but a file's only user, and a mapping is a use; but not of a file in an overlay, which
 * maps the one below. Whoever opens the file meanwhile makes the system send a signal: one that is ignored. */
bool bmm__os_file_is_abandoned(int file)
{
    struct stat status;
    struct statfs system;
    return syscall(SYS_fstatfs, file, &system) == 0 && system.f_type != OVERLAYFS_SUPER_MAGIC &&
           fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == (uid_t)syscall(SYS_geteuid) &&
           syscall(SYS_fcntl, file, F_SETSIG, SIGURG) == 0 && syscall(SYS_fcntl, file, F_SETLEASE, F_WRLCK) == 0;
}

/* Not readdir: it allocates, and would stand among the program's allocations. */
void bmm__os_directory_list(const char *path, void (*visit)(const char *name, void *context), void *context)
{
    _Alignas(struct dirent64) char buffer[4096];
    int saved_errno = errno;
    int directory = open_raw(path, O_RDONLY | O_DIRECTORY);
    long bytes = 0;
    while (directory >= 0 && (bytes = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < bytes;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
            visit(entry->d_name, context);
            at += entry->d_reclen;
        }
    if (directory >= 0)
        syscall(SYS_close, directory);
    errno = saved_errno;
}

/* ---- stderr, kept for the end ---- */

static int kept_error = -1;
static struct stat kept_facts;

void bmm__os_error_keep(void)
{
    int saved_errno = errno;
    kept_error = (int)syscall(SYS_fcntl, 2, F_DUPFD_CLOEXEC, 1000);
    if (kept_error < 0) /* a low limit on descriptors */
        kept_error = (int)syscall(SYS_fcntl, 2, F_DUPFD_CLOEXEC, 100);
    if (kept_error >= 0 && fstat(kept_error, &kept_facts) != 0)
        kept_error = -1;
    errno = saved_errno;
}

/* The program may have closed it, and the number may be another file's. */
static bool is_kept(void)
{
    struct stat now;
    return kept_error >= 0 && fstat(kept_error, &now) == 0 && now.st_dev == kept_facts.st_dev &&
           now.st_ino == kept_facts.st_ino;
}

void bmm__os_error_forget(void)
{
    int saved_errno = errno;
    if (is_kept())
        syscall(SYS_close, kept_error);
    kept_error = -1;
    errno = saved_errno;
}

void bmm__os_error_restore(void)
{
    int saved_errno = errno;
    if (syscall(SYS_fcntl, 2, F_GETFD) == -1) {
        if (is_kept()) {
            syscall(SYS_dup3, kept_error, 2, 0);
        } else {
            int nowhere = open_raw("/dev/null", O_WRONLY);
            if (nowhere >= 0 && nowhere != 2) {
                syscall(SYS_dup3, nowhere, 2, 0);
                syscall(SYS_close, nowhere);
            }
        }
    }
    errno = saved_errno;
}

/* ---- other processes ---- */

int bmm__os_exec(const char *path, char *const arguments[], char *const environment[])
{
    return (int)syscall(SYS_execve, path, arguments, environment);
}

int bmm__os_exec_file(int file, char *const arguments[], char *const environment[])
{
    return (int)syscall(SYS_execveat, file, "", arguments, environment, AT_EMPTY_PATH);
}

#define ENVIRONMENT_MAX 4096

int bmm__os_run_and_wait(const char *path, const char *const *arguments)
{
    static const char
        *environment[ENVIRONMENT_MAX] BMM__TABLE; /* static: the caller may stand on a small stack; one exit only */
    size_t count = 0;
    for (char **entry = environ; entry != NULL && *entry != NULL && count < ENVIRONMENT_MAX - 1; entry++)
        if (strncmp(*entry, "LD_PRELOAD=", 11) != 0 && strncmp(*entry, "BRAINMM_OPTIONS=", 16) != 0)
            environment[count++] = *entry;
    environment[count] = NULL;

    int saved_errno = errno;
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    int status = -1;
    /* Not fork(): the program's atfork handlers have nothing to do with this. No exit signal; but exec makes it SIGCHLD
     * again, so whoever waits must wait for children of all kinds, and take the signal away before it can be seen. */
    sigset_t only_child, pending;
    sigemptyset(&only_child);
    sigaddset(&only_child, SIGCHLD);
    sigpending(&pending);
    long child = syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
    if (child == 0) {
        struct sigaction by_default = { .sa_handler = SIG_DFL };
        sigaction(SIGPIPE, &by_default, NULL);
        sigaction(SIGCHLD, &by_default, NULL);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        syscall(SYS_execve, path, arguments, environment);
        syscall(SYS_exit_group, 127);
    }
    if (child > 0) {
        long waited;
        while ((waited = syscall(SYS_wait4, child, &status, __WALL, NULL)) < 0 && errno == EINTR)
            ;
        if (waited < 0) /* the program ignores SIGCHLD: the child is gone all the same, its status with it */
            status = errno == ECHILD ? 0 : -1;
        else if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
            status = -1;
        static const struct timespec at_once = { 0, 0 };
        if (sigismember(&pending, SIGCHLD) == 0)
            sigtimedwait(&only_child, NULL, &at_once);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = saved_errno;
    return status;
}
