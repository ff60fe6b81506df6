// stdout: done
// run: --mode leak
/* Blocks of a span that the program has had before it locked itself in: to hand them out takes no system call. */
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    static void *blocks[800];
    blocks[0] = malloc(64);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    for (int i = 1; i < 800; i++)
        blocks[i] = malloc(64);
    for (int i = 0; i < 800; i++)
        free(blocks[i]);
    write(1, "done\n", 5);
    syscall(SYS_exit, 0);
}
