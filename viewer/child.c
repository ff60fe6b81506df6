#define _GNU_SOURCE
#include "viewer/child.h"

#include "report/output.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t child_pid;           /* 0 before and after */
static volatile sig_atomic_t may_stop;            /* SIGTSTP was not inherited as ignored */
static volatile sig_atomic_t is_leader;           /* of the session: the terminal's end is told to us alone */
static volatile sig_atomic_t has_come[NSIG];      /* while the program ran; it may come again, to us alone */
static volatile sig_atomic_t has_come_late[NSIG]; /* when it was over already */
static const char *volatile last_words;           /* NULL: none */
static uint32_t has_ended;                        /* a futex: SIGCHLD came */

/* What ends us, or would, is the program's: it decides. Not what tells of faults and limits, which may be our own. */
static bool is_handed_on(int signal)
{
    static const int others[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1,  SIGUSR2,   SIGALRM, SIGTERM, SIGCONT,   SIGPIPE,
                                  SIGABRT, SIGTSTP, SIGURG,  SIGWINCH, SIGVTALRM, SIGPROF, SIGIO,   SIGSTKFLT, SIGPWR };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] == signal)
            return true;
    return signal >= SIGRTMIN && signal <= SIGRTMAX;
}

/* As the system would have done it without our handler: the shell that waits for us takes the terminal back. */
static void stop_too(void)
{
    struct sigaction ours;
    sigset_t stop, before;
    sigaction(SIGTSTP, &(struct sigaction){ .sa_handler = SIG_DFL }, &ours);
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &stop, &before); /* here we stand still until SIGCONT */
    sigprocmask(SIG_SETMASK, &before, NULL);
    sigaction(SIGTSTP, &ours, NULL);
}

/* Terminal signals come from the kernel and reach the program by themselves, unless it has gone to a process group of its own; the
 * others were sent to us alone, as far as one can tell, but for those that the program sends to its group. */
static bool is_for_us_alone(int signal, const siginfo_t *info)
{
    if (info->si_code > 0)
        return getpgid((pid_t)child_pid) != getpgrp() || (is_leader && (signal == SIGHUP || signal == SIGCONT));
    return info->si_pid != getpid() &&
           info->si_pid != child_pid; /* ours: abort(), or a pipe that nobody reads any more */
}

/* It has ended, and we do not know yet. */
static bool is_over(void)
{
    siginfo_t info = { 0 };
    return waitid(P_PID, (id_t)child_pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

static _Noreturn void end_by(int signal)
{
    sigset_t none;
    sigemptyset(&none);
    sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    kill(getpid(), signal);
    _exit(128 + signal); /* signals that cannot be reset, in a pid namespace, say */
}

static _Noreturn void say_and_end(int signal)
{
    struct pollfd output = { STDERR_FILENO, POLLOUT, 0 };
    const char *words = last_words, *unfinished = bmm__output_unfinished;
    if (unfinished != NULL)
        unlink(unfinished);
    if (words != NULL && poll(&output, 1, 0) == 1 && (output.revents & POLLOUT) != 0) {
        ssize_t ignored = write(STDERR_FILENO, words, strlen(words));
        (void)ignored;
    }
    end_by(signal);
}

/* When the program is over, such a signal means us. Who ends a program may send two: to it and to its group, by the shell and by
 * the system; and the hand that interrupts it may be impatient. */
static void end_of_us(int signal)
{
    if (!has_come[signal])
        say_and_end(signal);
    has_come[signal] = 0;
}

static bool asks_to_end(int signal)
{
    return signal == SIGINT || signal == SIGQUIT || signal == SIGTERM;
}

static void hand_on(int signal, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    (void)context;
    if (child_pid != 0 && asks_to_end(signal) && is_over()) { /* by this very signal, it may be */
        if (has_come_late[signal])
            say_and_end(signal);
        has_come_late[signal] = 1;
    }
    has_come[signal] = 1;
    bool is_programs = child_pid != 0 && is_for_us_alone(signal, info);
    if (is_programs && info->si_code == SI_QUEUE)
        sigqueue((pid_t)child_pid, signal, info->si_value);
    else if (is_programs)
        kill((pid_t)child_pid, signal);
    if (signal == SIGTSTP && may_stop)
        stop_too();
    errno = saved_errno;
}

static void note_end(int signal)
{
    (void)signal;
    __atomic_store_n(&has_ended, 1u, __ATOMIC_RELAXED);
}

struct dispositions {
    struct sigaction handed_on[NSIG], child; /* by number */
    bool is_kept[NSIG];                      /* there is one of handed_on */
    sigset_t mask;
};

/* From here until restore, no signal arrives between two steps. Also what we inherited as ignored gets our handler:
 * the program starts with it ignored, too, but may have set a handler of its own since. */
static void prepare(struct dispositions *before)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before->mask);
    struct sigaction action = { .sa_sigaction = hand_on, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigemptyset(&action.sa_mask);
    for (int signal = 1; signal < NSIG; signal++)
        before->is_kept[signal] = is_handed_on(signal) && sigaction(signal, &action, &before->handed_on[signal]) == 0;
    may_stop = before->handed_on[SIGTSTP].sa_handler != SIG_IGN;
    /* Inherited as ignored, the end of the child could not be waited for. */
    sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = note_end, .sa_flags = SA_RESTART }, &before->child);
}

/* For the program, but for the mask. */
static void restore(const struct dispositions *before)
{
    for (int signal = 1; signal < NSIG; signal++)
        if (before->is_kept[signal])
            sigaction(signal, &before->handed_on[signal], NULL);
    sigaction(SIGCHLD, &before->child, NULL);
}

/* What asks us to end is heard, as far as we did not inherit it as ignored, and what stops and continues does so. All else was meant
 * for the program, or tells that a terminal is gone, which is no reason to lose a report. */
static void give_back_signals(const struct dispositions *before)
{
    static const int plain[] = { SIGABRT, SIGTSTP, SIGCONT };
    struct sigaction ignore = { .sa_handler = SIG_IGN }, end = { .sa_handler = end_of_us, .sa_flags = SA_RESTART };
    sigset_t all;
    sigemptyset(&end.sa_mask);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (int signal = 1; signal < NSIG; signal++)
        if (before->is_kept[signal])
            sigaction(signal, asks_to_end(signal) && before->handed_on[signal].sa_handler != SIG_IGN ? &end : &ignore,
                      NULL);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        sigaction(plain[i], &before->handed_on[plain[i]], NULL);
    sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL); /* of others that we inherited */
    sigprocmask(SIG_SETMASK, &before->mask, NULL);
}

/* What runs out while the program runs was set for it: timers stay over exec, but not over fork. */
static const int timer_kinds[] = { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };
enum { TIMERS = sizeof timer_kinds / sizeof *timer_kinds };

static void set_timers(const struct itimerval timers[TIMERS])
{
    for (unsigned i = 0; i < TIMERS; i++)
        setitimer(timer_kinds[i], &timers[i], NULL);
}

static const struct timespec nap = { 0, 50000000 }; /* a thousand processes a second leave a hundred snapshots */

enum waking { CHILD_CHANGED, DUE, NO_SUCH_CALL };

/* Until SIGCHLD comes, or the word is not 0, or a nap is over. SIGCHLD is blocked except here, and where it comes before the
 * sleep, the handler has changed what the sleep depends on. */
static enum waking sleep_on(uint32_t *word)
{
#if defined(SYS_futex_waitv) && defined(FUTEX_32)
    struct futex_waitv words[] = { { .uaddr = (uintptr_t)&has_ended, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
                                   { .uaddr = (uintptr_t)word, .flags = FUTEX_32 } };
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t nanoseconds = now.tv_nsec + nap.tv_nsec;
    struct {
        int64_t seconds, nanoseconds; /* everywhere, unlike a timespec */
    } until = { now.tv_sec + nanoseconds / 1000000000, nanoseconds % 1000000000 };
    sigset_t ended;
    sigemptyset(&ended);
    sigaddset(&ended, SIGCHLD);
    __atomic_store_n(&has_ended, 0u, __ATOMIC_RELAXED);
    sigprocmask(SIG_UNBLOCK, &ended, NULL);
    long result = syscall(SYS_futex_waitv, words, 2, 0, &until, CLOCK_MONOTONIC);
    bool is_known = result >= 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT;
    sigprocmask(SIG_BLOCK, &ended, NULL);
    if (__atomic_load_n(&has_ended, __ATOMIC_RELAXED) != 0)
        return CHILD_CHANGED;
    return is_known ? DUE : NO_SUCH_CALL;
#else
    (void)word;
    return NO_SUCH_CALL;
#endif
}

/* SIGCHLD is blocked: it stays pending, and ends the sleep. */
static enum waking sleep_a_nap(void)
{
    sigset_t ended;
    sigemptyset(&ended);
    sigaddset(&ended, SIGCHLD);
    return sigtimedwait(&ended, NULL, &nap) < 0 && errno == EAGAIN ? DUE : CHILD_CHANGED;
}

static bool is_stopped(pid_t pid, int more)
{
    siginfo_t info = { 0 };
    return waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | more) == 0 && info.si_pid != 0;
}

/* A job of its own that has the terminal, started by a shell, who waits for its stop, too, and can continue all of it. */
static bool is_foreground_job(void)
{
    int terminal =
        getpgrp() == getpid() && !is_leader && may_stop ? open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC) : -1;
    bool is = terminal >= 0 && tcgetpgrp(terminal) == getpgrp();
    if (terminal >= 0)
        close(terminal);
    return is;
}

/* A program that stops itself gives the terminal back, and so do we. A stop by the terminal has stopped us already, and may be over
 * for us a moment before it is for the program: so it is looked at twice. */
static void stop_with(pid_t pid)
{
    if (!is_stopped(pid, WNOWAIT) || !is_foreground_job())
        return;
    nanosleep(&nap, NULL);
    if (is_stopped(pid, 0))
        stop_too(); /* what continues us is handed on */
}

static void wait_for(struct bmm__child *child, const struct bmm__meanwhile *meanwhile)
{
    for (;;) {
        pid_t found = waitpid(child->pid, &child->wait_status, meanwhile != NULL ? WNOHANG : 0);
        if (found > 0 || (found < 0 && errno != EINTR))
            return;
        if (meanwhile == NULL || found < 0)
            continue;
        stop_with(child->pid);
        uint32_t *word = meanwhile->word(meanwhile->context);
        enum waking waking = word != NULL ? sleep_on(word) : NO_SUCH_CALL;
        if (waking == NO_SUCH_CALL)
            waking = sleep_a_nap();
        if (waking == DUE)
            meanwhile->work(meanwhile->context, child->pid);
    }
}

bool bmm__child_run(struct bmm__child *child, const char *path, char **arguments, char **environment,
                    const struct bmm__meanwhile *meanwhile, struct bmm__why *why)
{
    int channel[2]; /* closed by a successful exec, else brings errno */
    if (pipe2(channel, O_CLOEXEC) != 0)
        return bmm__fail(why, "cannot make a pipe: %s", strerror(errno));
    struct dispositions before;
    struct itimerval timers[TIMERS];
    is_leader = getsid(0) == getpid();
    prepare(&before);
    for (unsigned i = 0; i < TIMERS; i++)
        getitimer(timer_kinds[i], &timers[i]);
    child->pid = fork();
    if (child->pid == 0) {
        set_timers(timers);
        restore(&before);
        sigprocmask(SIG_SETMASK, &before.mask, NULL);
        execvpe(path, arguments, environment); /* path has a slash: not searched, but scripts without #! are run */
        int reason = errno;
        ssize_t ignored = write(channel[1], &reason, sizeof reason);
        (void)ignored;
        _exit(127);
    }
    int reason = child->pid < 0 ? errno : 0;
    if (child->pid > 0)
        set_timers((const struct itimerval[TIMERS]){ 0 });
    child_pid = child->pid > 0 ? child->pid : 0;
    sigset_t mask = before.mask;
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    close(channel[1]);
    ssize_t bytes = 0;
    if (child->pid > 0)
        while ((bytes = read(channel[0], &reason, sizeof reason)) < 0 && errno == EINTR)
            ;
    close(channel[0]);
    if (child->pid > 0)
        wait_for(child, meanwhile);
    child_pid = 0;
    give_back_signals(&before);
    if (child->pid < 0 || bytes == (ssize_t)sizeof reason)
        return bmm__fail(why, "it cannot be started: %s", strerror(reason));
    return true;
}

void bmm__child_last_words(const char *words)
{
    last_words = words;
}

void bmm__child_end_like(const struct bmm__child *child)
{
    if (WIFEXITED(child->wait_status))
        _exit(WEXITSTATUS(child->wait_status));
    int signal = WTERMSIG(child->wait_status);
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }); /* the program's core is the one that matters */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);               /* a program that takes cores heeds no limit */
    end_by(signal);
}
