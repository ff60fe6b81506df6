/* One scene of a program's life, by name; each leaks 777 bytes in leaky(). For test_surroundings, which says what is
 * expected. An exit status of 99 is a failure of the scene itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS 5
#define FORKS 200

extern char **environ;
static const char *self;

static __attribute__((noinline)) void leaky(void)
{
    *(volatile char *)malloc(777) = 1;
}

static void need(int is_good)
{
    if (!is_good)
        _exit(99);
}

/* Enough that a small recorder does not do. */
static void work(int count)
{
    static void *blocks[64];
    for (int i = 0; i < count; i++) {
        free(blocks[i % 64]);
        blocks[i % 64] = malloc((size_t)(16 + i * 37 % 3000));
    }
    for (int i = 0; i < 64; i++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
}

static void many_sizes(void)
{
    enum { COUNT = 30000 };
    static void *blocks[COUNT];
    for (int i = 0; i < COUNT; i++)
        blocks[i] = malloc((size_t)(16 + i % 200));
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
}

static int plain(void)
{
    puts("here");
    return STATUS;
}

static int wide(void)
{
    many_sizes();
    return plain();
}

static int killed(void)
{
    kill(getpid(), SIGKILL);
    return 99;
}

static int crash(void)
{
    *(volatile int *)16 = 1;
    return 99;
}

static int aborts(void)
{
    abort();
}

static int quits_at_once(void)
{
    _exit(STATUS);
}

static int quits_quickly(void)
{
    quick_exit(STATUS);
}

static int empty_root(void)
{
    need(chroot("empty") == 0 && chdir("/") == 0);
    many_sizes();
    return STATUS;
}

static int drops_rights(void)
{
    need(setgid(65534) == 0 && setuid(65534) == 0);
    many_sizes();
    return STATUS;
}

#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Of what a program that computes and prints needs; whatever else it calls kills it. */
static struct sock_filter few[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                    ALLOW(read),
                                    ALLOW(write),
                                    ALLOW(newfstatat),
                                    ALLOW(brk),
                                    ALLOW(mmap),
                                    ALLOW(munmap),
                                    ALLOW(mprotect),
                                    ALLOW(mremap),
                                    ALLOW(madvise),
                                    ALLOW(futex),
                                    ALLOW(clock_gettime),
                                    ALLOW(rt_sigprocmask),
                                    ALLOW(rt_sigreturn),
                                    ALLOW(exit),
                                    ALLOW(exit_group),
                                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS) };

static int filtered(int is_by_syscall)
{
    struct sock_fprog filter = { sizeof few / sizeof *few, few };
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (is_by_syscall)
        need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0);
    else
        need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
    many_sizes();
    return plain();
}

static int filtered_by_prctl(void)
{
    return filtered(0);
}

static int filtered_by_syscall(void)
{
    return filtered(1);
}

static volatile int is_over;

static void *churn(void *unused)
{
    (void)unused;
    for (; !is_over; usleep(200))
        for (int i = 1; i < 100; i++)
            free(malloc((size_t)i * 31));
    return NULL;
}

static int wait_for(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static int forks_with_threads(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        need(pthread_create(&threads[i], NULL, churn, NULL) == 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0) {
            work(100);
            exit(i & 1);
        }
        need(child > 0 && wait_for(child) == (i & 1) << 8);
    }
    is_over = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    return STATUS;
}

static volatile int fork_count;

static void fork_now(int signal)
{
    int saved_errno = errno;
    (void)signal;
    if (fork_count < FORKS) {
        pid_t child = fork();
        if (child == 0)
            _exit(3);
        need(child > 0 && wait_for(child) == 3 << 8);
        fork_count++;
    }
    errno = saved_errno;
}

static int forks_in_handlers(void)
{
    struct sigaction action = { .sa_handler = fork_now, .sa_flags = SA_RESTART };
    sigaction(SIGALRM, &action, NULL);
    struct itimerval each_ms = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
    setitimer(ITIMER_REAL, &each_ms, NULL);
    while (fork_count < FORKS)
        work(100);
    setitimer(ITIMER_REAL, &never, NULL);
    return STATUS;
}

static int vforks(void)
{
    pid_t child = vfork();
    if (child == 0) {
        execl(self, self, "child", (char *)NULL);
        _exit(99);
    }
    need(child > 0 && wait_for(child) == 7 << 8);
    return STATUS;
}

static int spawns(void)
{
    pid_t child;
    char *arguments[] = { (char *)self, "child", NULL };
    need(posix_spawn(&child, self, NULL, NULL, arguments, environ) == 0 && wait_for(child) == 7 << 8);
    need(posix_spawnp(&child, self, NULL, NULL, arguments, environ) == 0 && wait_for(child) == 7 << 8);
    return STATUS;
}

static int child(void)
{
    return 7;
}

static int daemonizes(void)
{
    need(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
    pid_t first = fork();
    if (first == 0) {
        setsid();
        if (fork() != 0)
            _exit(0);
        closefrom(0);
        many_sizes();
        leaky();
        exit(9);
    }
    need(first > 0 && wait_for(first) == 0);
    need(wait_for(-1) == 9 << 8);
    return STATUS;
}

static int becomes_another(void)
{
    execl(self, self, "plain", (char *)NULL);
    return 99;
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        int (*play)(void);
    } scenes[] = {
        { "plain", plain },
        { "wide", wide },
        { "kill", killed },
        { "segv", crash },
        { "abort", aborts },
        { "_exit", quits_at_once },
        { "quick_exit", quits_quickly },
        { "chroot", empty_root },
        { "setuid", drops_rights },
        { "seccomp_prctl", filtered_by_prctl },
        { "seccomp_syscall", filtered_by_syscall },
        { "fork_threads", forks_with_threads },
        { "fork_handler", forks_in_handlers },
        { "vfork", vforks },
        { "spawn", spawns },
        { "child", child },
        { "daemon", daemonizes },
        { "exec", becomes_another },
    };
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    self = arguments[0];
    leaky();
    for (size_t i = 0; count > 1 && i < sizeof scenes / sizeof *scenes; i++)
        if (strcmp(arguments[1], scenes[i].name) == 0)
            return scenes[i].play();
    return 99;
}
