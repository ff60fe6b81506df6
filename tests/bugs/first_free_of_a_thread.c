// run: --mode=leak
// stdout: at once
/* The second thread that frees something has a barrier sent to the first. The system wants to be told of such barriers before:
 * told when there were two threads already, it kept that free waiting for ten milliseconds. */
#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    free(malloc(10));
    int done = 0;
#if defined(__x86_64__)
    if ((syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0)
        done = (int)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
#endif
    puts(done != 0 && errno == EPERM ? "the system was not told" : "at once");
    return 0;
}
