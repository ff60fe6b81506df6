// with: libbrainmm_debug
// env: BRAINMM_OPTIONS=mode=check,summary=off,report=none
// stdout: in time
/* A signal handler that ends the program has mostly interrupted an allocation or a free, whose block nobody finishes any more. The
 * verification at exit waited five seconds for each such block. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHILDREN = 20 };

static void end(int number)
{
    exit(number == SIGALRM ? 0 : 1);
}

static void work(void)
{
    signal(SIGALRM, end);
    setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 50000 } }, NULL);
    for (;;) {
        void *blocks[100];
        for (int i = 0; i < 100; i++)
            blocks[i] = malloc((size_t)i * 5);
        for (int i = 0; i < 100; i++)
            free(blocks[i]);
    }
}

int main(void)
{
    int wrong = 0, status;
    free(malloc(10));
    time_t start = time(NULL);
    for (int i = 0; i < CHILDREN; i++)
        if (fork() == 0)
            work();
    for (int i = 0; i < CHILDREN; i++)
        wrong += wait(&status) < 0 || status != 0;
    int seconds = (int)(time(NULL) - start);
    if (wrong == 0 && seconds < 5)
        puts("in time");
    else
        printf("%d wrong, %d seconds\n", wrong, seconds);
    return 0;
}
