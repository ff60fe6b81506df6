/* Running a program: status, signals, what the program inherits. */
#define _GNU_SOURCE
#include "viewer/child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
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
    const int signals[] = { SIGPWR, SIGIO, SIGVTALRM, SIGPIPE, SIGABRT, SIGRTMIN, SIGRTMAX };
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        signal(signals[i], SIG_DFL); /* the run before had it ignored from its end on */
        pid_t sender = send_soon(signals[i]);
        cr_expect_eq(WTERMSIG(run("exec sleep 5")), signals[i]);
        waitpid(sender, NULL, 0);
    }
}

static char ready[64], told[64];

static void *abort_when_ready(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 1000 && access(ready, F_OK) != 0; i++)
        usleep(10000);
    abort();
}

Test(child, our_own_end_is_not)
{
    char script[256];
    snprintf(ready, sizeof ready, "/tmp/brainmm-test-%d-ready", (int)getpid());
    snprintf(told, sizeof told, "/tmp/brainmm-test-%d-told", (int)getpid());
    snprintf(script, sizeof script,
             "trap 'echo told > %s; exit' ABRT; echo > %s; i=0; while [ $i -lt 10 ]; do sleep 0.1; i=$((i+1)); done",
             told, ready);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, abort_when_ready, NULL);
        run(script);
        _exit(7);
    }
    int status;
    waitpid(pid, &status, 0);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    cr_expect_eq(access(ready, F_OK), 0);
    usleep(1200000);
    cr_expect_eq(access(told, F_OK), -1, "the program goes on");
    unlink(told);
    unlink(ready);
}

/* ---- when the program is over ---- */

/* What a process says that has run a program, or was not told to say anything, and gets the signal then. */
static int end_after(int signal_number, bool is_ignored, const char *words, char *said, size_t capacity)
{
    int channel[2], status;
    cr_assert_eq(pipe(channel), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(channel[1], STDERR_FILENO);
        signal(signal_number, is_ignored ? SIG_IGN : SIG_DFL);
        run("exit 0");
        bmm__child_last_words(words);
        raise(signal_number);
        _exit(7);
    }
    close(channel[1]);
    ssize_t bytes = read(channel[0], said, capacity - 1);
    said[bytes > 0 ? bytes : 0] = 0;
    close(channel[0]);
    waitpid(pid, &status, 0);
    return status;
}

Test(child, then_signals_are_for_us)
{
    const int ends[] = { SIGINT, SIGQUIT, SIGTERM }, others[] = { SIGHUP, SIGALRM, SIGUSR1, SIGWINCH, SIGRTMIN };
    char said[100];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int status = end_after(ends[i], false, "look there\n", said, sizeof said);
        cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == ends[i]);
        cr_expect_str_eq(said, "look there\n");
    }
    cr_expect_eq(WTERMSIG(end_after(SIGTERM, false, NULL, said, sizeof said)), SIGTERM);
    cr_expect_str_eq(said, "");
    cr_expect_eq(WEXITSTATUS(end_after(SIGINT, true, "look there\n", said, sizeof said)), 7);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_expect_eq(WEXITSTATUS(end_after(others[i], false, "look there\n", said, sizeof said)), 7);
    cr_expect_str_eq(said, "");
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

/* ---- meanwhile ---- */

struct waking {
    uint32_t *word; /* shared with the process that changes it */
    double changed, seen;
    unsigned works;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint32_t *word_of(void *context)
{
    struct waking *waking = context;
    return waking->seen == 0 ? waking->word : NULL;
}

static void look(void *context, pid_t pid)
{
    struct waking *waking = context;
    (void)pid;
    waking->works++;
    if (waking->seen == 0 && __atomic_load_n(waking->word, __ATOMIC_ACQUIRE) != 0)
        waking->seen = now();
}

static double wake(void)
{
    struct {
        uint32_t word;
        double changed;
    } *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t sender = fork();
    if (sender == 0) {
        usleep(60000); /* a tenth of the next sleep is over, or so */
        shared->changed = now();
        __atomic_store_n(&shared->word, 1u, __ATOMIC_RELEASE);
        syscall(SYS_futex, &shared->word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
        _exit(0);
    }
    struct waking waking = { .word = &shared->word };
    char *arguments[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "sleep 0.3; exit 3",
                          NULL };
    cr_assert(bmm__child_run(&child, "/bin/sh", arguments, environ, &(struct bmm__meanwhile){ look, word_of, &waking },
                             &why));
    waitpid(sender, NULL, 0);
    cr_expect_eq(WEXITSTATUS(child.wait_status), 3);
    cr_expect_geq(waking.works, 3, "it goes on from time to time");
    double delay = waking.seen - shared->changed;
    munmap(shared, sizeof *shared);
    return delay;
}

Test(child, a_word_that_changes_ends_the_sleep)
{
    double shortest = 1;
    for (unsigned i = 0; i < 10 && shortest > 0.01; i++) {
        double delay = wake();
        shortest = delay < shortest ? delay : shortest;
    }
    cr_expect_leq(shortest, 0.01, "a nap is 50 ms, of which 40 are left: %g", shortest);
}

static uint32_t *no_word(void *context)
{
    (void)context;
    return NULL;
}

static void count(void *context, pid_t pid)
{
    (void)pid;
    ++*(unsigned *)context;
}

static uint32_t *quiet_word(void *context)
{
    static uint32_t word;
    (void)context;
    return &word;
}

/* A program of a few milliseconds is waited for without a nap, with the word and without. */
Test(child, nothing_is_done_after_the_end)
{
    uint32_t *(*const words[])(void *context) = { no_word, quiet_word };
    char *arguments[] = { (char *)(uintptr_t) "true", NULL };
    for (unsigned k = 0; k < 2; k++) {
        unsigned least = UINT32_MAX;
        for (unsigned i = 0; i < 20 && least > 0; i++) {
            unsigned works = 0;
            cr_assert(bmm__child_run(&child, "/bin/true", arguments, environ,
                                     &(struct bmm__meanwhile){ count, words[k], &works }, &why));
            least = works < least ? works : least;
        }
        cr_expect_eq(least, 0);
    }
}

Test(child, its_end_is_seen_where_we_inherited_that_as_ignored)
{
    signal(SIGCHLD, SIG_IGN);
    unsigned works = 0;
    char *arguments[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "sleep 0.2; exit 3",
                          NULL };
    cr_assert(bmm__child_run(&child, "/bin/sh", arguments, environ,
                             &(struct bmm__meanwhile){ count, quiet_word, &works }, &why));
    cr_expect_eq(WEXITSTATUS(child.wait_status), 3);
    cr_expect_geq(works, 2);
    struct sigaction action;
    sigaction(SIGCHLD, NULL, &action);
    cr_expect_eq(action.sa_handler, SIG_DFL, "no handler interrupts what comes then");
}

/* Older systems and sandboxes have no such call. */
Test(child, it_waits_without_futex_waitv)
{
#ifdef SYS_futex_waitv
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex_waitv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    cr_expect_lt(wake(), 0.3, "at the end of a nap");
#endif
}
