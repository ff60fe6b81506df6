/* measure RESULT PRELOAD SECONDS COMMAND…: runs the command once and writes to the file RESULT, in one line,
 *
 *     wall_ns user_us system_us resident_kib faults faults_of_disk switches switches_forced status
 *
 * where status is what wait gives. PRELOAD is put into LD_PRELOAD for the command alone ("" for nothing); after SECONDS
 * its whole process group is killed. A program of its own, and small, because a process's peak of resident memory
 * begins with that of the process it was forked from: a Python harness would hide every small program behind its own
 * ten megabytes. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile pid_t child;

static void end_child(int signal_number)
{
    (void)signal_number;
    kill(-child, SIGKILL);
}

static long long now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long long us(struct timeval time)
{
    return time.tv_sec * 1000000LL + time.tv_usec;
}

int main(int argument_count, char **arguments)
{
    if (argument_count < 5) {
        fputs("usage: measure RESULT PRELOAD SECONDS COMMAND...\n", stderr);
        return 2;
    }
    FILE *result = fopen(arguments[1], "we");
    if (!result) {
        perror(arguments[1]);
        return 2;
    }
    signal(SIGALRM, end_child);
    signal(SIGTERM, end_child);
    signal(SIGINT, end_child);
    long long start_ns = now_ns();
    child = fork();
    if (child == 0) {
        setpgid(0, 0);
        if (*arguments[2])
            setenv("LD_PRELOAD", arguments[2], 1);
        execvp(arguments[4], arguments + 4);
        perror(arguments[4]);
        _exit(127);
    }
    if (child < 0) {
        perror("fork");
        return 2;
    }
    setpgid(child, child);
    alarm((unsigned)strtoul(arguments[3], NULL, 10));
    struct rusage usage;
    int status;
    while (wait4(child, &status, 0, &usage) < 0)
        continue;
    long long wall_ns = now_ns() - start_ns;
    fprintf(result, "%lld %lld %lld %ld %ld %ld %ld %ld %d\n", wall_ns, us(usage.ru_utime), us(usage.ru_stime),
            usage.ru_maxrss, usage.ru_minflt, usage.ru_majflt, usage.ru_nvcsw, usage.ru_nivcsw, status);
    return fclose(result) != 0;
}
