/* The contract of os.h on Linux: memory for code that is written at run time. */
#define _GNU_SOURCE
#include "core/os.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CLOSE_ON_EXEC 1u
#define NEVER_A_PROGRAM \
    8u /* MFD_NOEXEC_SEAL, from 6.3 on: execve refuses it, whatever vm.memfd_noexec says; mmap does not */

int bmm__os_code_file(size_t bytes)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur) {
        errno = EFBIG; /* the system would send a signal */
        return -1;
    }
    int file = (int)syscall(SYS_memfd_create, "brainmm-jit", CLOSE_ON_EXEC | NEVER_A_PROGRAM);
    if (file == -1 && errno == EINVAL)
        file = (int)syscall(SYS_memfd_create, "brainmm-jit", CLOSE_ON_EXEC);
    if (file != -1 && ftruncate(file, (off_t)bytes) != 0) {
        bmm__os_file_close(file);
        file = -1;
    }
    return file;
}

bool bmm__os_code_file_write(int file, uint64_t offset, const void *from, size_t bytes)
{
    while (bytes != 0) {
        long written = syscall(SYS_pwrite64, file, from, bytes, offset); /* libc's is a cancellation point */
        if (written <= 0) {
            if (written != 0 && errno == EINTR)
                continue;
            return false;
        }
        from = (const char *)from + written;
        offset += (uint64_t)written;
        bytes -= (size_t)written;
    }
    return true;
}

static bool put_view(int file, size_t bytes, void *at, int rights)
{
    return mmap(at, bytes, rights, MAP_SHARED | MAP_FIXED, file, 0) == at;
}

bool bmm__os_code_views(int file, size_t bytes, void *writable, void *executable)
{
    return put_view(file, bytes, executable, PROT_READ | PROT_EXEC) &&
           put_view(file, bytes, writable, PROT_READ | PROT_WRITE);
}

void bmm__os_code_refetch(void)
{
    int saved_errno = errno;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) != 0 && errno == EPERM &&
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
    errno = saved_errno;
}
