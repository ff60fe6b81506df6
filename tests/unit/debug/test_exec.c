/* The wrapped exec family against what POSIX says; in the test program the names are this library's. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum form { EXECL, EXECLP, EXECLE, EXECV, EXECVE, EXECVP, EXECVPE, FEXECVE };

static int exec_by(enum form form, const char *name, char *const arguments[], char *const environment[])
{
    int file;
    switch (form) {
    case EXECL:
        return execl(name, arguments[0], arguments[1], arguments[2], (char *)NULL);
    case EXECLP:
        return execlp(name, arguments[0], arguments[1], arguments[2], (char *)NULL);
    case EXECLE:
        return execle(name, arguments[0], arguments[1], arguments[2], (char *)NULL, environment);
    case EXECV:
        return execv(name, arguments);
    case EXECVE:
        return execve(name, arguments, environment);
    case EXECVP:
        return execvp(name, arguments);
    case EXECVPE:
        return execvpe(name, arguments, environment);
    case FEXECVE:
        file = open(name, O_RDONLY | O_CLOEXEC);
        return fexecve(file, arguments, environment);
    }
    return -1;
}

/* Runs it in a child of vfork; output gets what it wrote. The result is its exit status, or 1000 + errno of exec. */
static int run(enum form form, const char *name, char output[256])
{
    static char words[][16] = { "sh", "-c", "echo $WORD" };
    static char variable[] = "WORD=given";
    char *arguments[] = { words[0], words[1], words[2], NULL };
    char *environment[] = { variable, NULL };
    volatile int failure = 0;
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t child = vfork();
    if (child == 0) {
        dup2(ends[1], 1);
        exec_by(form, name, arguments, environment);
        failure = errno;
        _exit(127);
    }
    close(ends[1]);
    ssize_t bytes = read(ends[0], output, 255);
    output[bytes > 0 ? bytes : 0] = '\0';
    close(ends[0]);
    int status;
    waitpid(child, &status, 0);
    return failure != 0 ? 1000 + failure : WEXITSTATUS(status);
}

Test(exec, every_form_starts_the_program_with_its_environment)
{
    char output[256];
    setenv("WORD", "inherited", 1);
    for (enum form form = EXECL; form <= FEXECVE; form++) {
        bool takes_name = form == EXECLP || form == EXECVP || form == EXECVPE;
        bool is_given = form == EXECLE || form == EXECVE || form == EXECVPE || form == FEXECVE;
        cr_assert_eq(run(form, "/bin/sh", output), 0, "%d", form);
        cr_assert_str_eq(output, is_given ? "given\n" : "inherited\n", "%d", form);
        if (takes_name) {
            cr_assert_eq(run(form, "sh", output), 0, "%d", form);
            cr_assert_str_eq(output, is_given ? "given\n" : "inherited\n", "%d", form);
        }
    }
}

Test(exec, failures_are_those_of_exec)
{
    char output[256];
    cr_assert_eq(run(EXECVP, "no-such-program-here", output), 1000 + ENOENT);
    cr_assert_eq(run(EXECVP, "", output), 1000 + ENOENT);
    cr_assert_eq(run(EXECVP, "/etc/passwd", output), 1000 + EACCES);
    cr_assert_eq(run(EXECL, "/", output), 1000 + EACCES);
    cr_assert_eq(run(EXECLE, "/nowhere/sh", output), 1000 + ENOENT);
    cr_assert_eq(run(FEXECVE, "/nowhere", output), 1000 + EBADF);
}

Test(exec, a_file_without_format_is_the_shells)
{
    char folder[] = "/tmp/brainmm-exec-XXXXXX", path[128], output[256];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/script-of-mine", folder);
    FILE *file = fopen(path, "w");
    fputs("echo script $1\n", file);
    fclose(file);
    chmod(path, 0755);
    setenv("PATH", folder, 1);
    cr_assert_eq(run(EXECVP, "script-of-mine", output), 0);
    cr_assert_str_eq(output, "script -c\n");
    cr_assert_eq(run(EXECV, path, output), 1000 + ENOEXEC);
    unlink(path);
    rmdir(folder);
}

Test(exec, spawn)
{
    char name[] = "sh", option[] = "-c", text[] = "exit 23";
    char *arguments[] = { name, option, text, NULL };
    pid_t child;
    int status;
    cr_assert_eq(posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ), 0);
    waitpid(child, &status, 0);
    cr_assert_eq(WEXITSTATUS(status), 23);
    cr_assert_eq(posix_spawnp(&child, "sh", NULL, NULL, arguments, environ), 0);
    waitpid(child, &status, 0);
    cr_assert_eq(WEXITSTATUS(status), 23);
    cr_assert_eq(posix_spawnp(&child, "no-such-program-here", NULL, NULL, arguments, environ), ENOENT);
}
