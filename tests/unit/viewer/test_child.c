/* Running a program: status, signals, what the program inherits. */
#define _GNU_SOURCE
#include "viewer/child.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct bmm__child child;
static struct bmm__why why;

static int run(const char *script)
{
    char *arguments[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)script, NULL };
    cr_assert(bmm__child_run(&child, "/bin/sh", arguments, environ, NULL, &why), "%s", why.text);
    return child.wait_status;
}

Test(child, status_and_signal)
{
    cr_expect_eq(WEXITSTATUS(run("exit 7")), 7);
    cr_expect_eq(WTERMSIG(run("kill -TERM $$")), SIGTERM);
}

Test(child, what_cannot_be_started_is_told)
{
    char *arguments[] = { (char *)(uintptr_t) "x", NULL };
    cr_expect_not(bmm__child_run(&child, "/nowhere/x", arguments, environ, NULL, &why));
    cr_expect_not_null(strstr(why.text, "it cannot be started"));
}

Test(child, dispositions_and_mask_are_those_we_were_given)
{
    signal(SIGCHLD, SIG_IGN); /* or the end of the child could not be waited for */
    signal(SIGUSR1, SIG_IGN);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    /* Bits 9, 16 (ignored) and 11 (blocked) of the masks in /proc. */
    int status =
        run("ign=$(sed -n 's/^SigIgn:.//p' /proc/self/status); blk=$(sed -n 's/^SigBlk:.//p' /proc/self/status);"
            "exit $(( (0x$ign >> 9 & 1) + 2 * (0x$blk >> 11 & 1) ))");
    cr_expect_eq(WEXITSTATUS(status), 3);
}

static pid_t send_soon(int signal)
{
    pid_t sender = fork();
    if (sender == 0) {
        usleep(300000);
        kill(getppid(), signal);
        _exit(0);
    }
    return sender;
}

Test(child, what_is_sent_to_us_alone_is_handed_on)
{
    pid_t sender = send_soon(SIGTERM);
    cr_expect_eq(WEXITSTATUS(run("trap 'exit 9' TERM; i=0; while [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done")), 9);
    waitpid(sender, NULL, 0);
}

Test(child, also_what_we_inherited_as_ignored)
{
    signal(SIGINT, SIG_IGN);
    pid_t sender = send_soon(SIGINT);
    cr_expect_eq(WTERMSIG(run("exec env --default-signal=INT sleep 5")), SIGINT);
    waitpid(sender, NULL, 0);
}

Test(child, what_the_program_goes_on_ignoring)
{
    signal(SIGINT, SIG_IGN);
    pid_t sender = send_soon(SIGINT);
    cr_expect_eq(WEXITSTATUS(run("sleep 0.6; exit 9")), 9);
    waitpid(sender, NULL, 0);
}

Test(child, also_rare_signals)
{
    const int signals[] = { SIGPWR, SIGIO, SIGVTALRM, SIGRTMIN, SIGRTMAX };
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        pid_t sender = send_soon(signals[i]);
        cr_expect_eq(WTERMSIG(run("exec sleep 5")), signals[i]);
        waitpid(sender, NULL, 0);
    }
}

static int end_like(const char *script)
{
    pid_t pid = fork();
    if (pid == 0) {
        run(script);
        bmm__child_end_like(&child);
    }
    int status;
    waitpid(pid, &status, 0);
    return status;
}

Test(child, we_end_as_the_program_did)
{
    cr_expect_eq(WEXITSTATUS(end_like("exit 250")), 250);
    int status = end_like("kill -SEGV $$");
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    cr_expect_not(WCOREDUMP(status));
}
