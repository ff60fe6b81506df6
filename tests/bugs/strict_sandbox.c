// stdout: done
/* Where a program may do nothing but read, write and end, the processor's clock is forbidden, too. */
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    free(malloc(10));
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    for (int i = 0; i < 200; i++)
        free(malloc(10));
    write(1, "done\n", 5);
    syscall(SYS_exit, 0);
}
