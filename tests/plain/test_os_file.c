/* Files of the recorder, on file systems of all sorts. */
#define _GNU_SOURCE
#include "core/os.h"
#include "tests/plain.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* From now on fallocate says what it says on a file system that does not know it. */
static bool forbid_allocation(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* 0: good. */
static int allocate_in(const char *path)
{
    enum { FIRST = 300000, AGAIN = 200000 };
    struct stat facts;
    int file = bmm__os_file_create(path);
    if (file < 0 || !bmm__os_file_allocate(file, 0, FIRST) || fstat(file, &facts) != 0)
        return 1;
    if (facts.st_size != FIRST || facts.st_blocks * 512 < FIRST)
        return 2;
    char text[8] = "";
    if (pwrite(file, "kept", 5, FIRST - 10) != 5 || !bmm__os_file_allocate(file, AGAIN, 2 * FIRST))
        return 3;
    if (pread(file, text, 5, FIRST - 10) != 5 || strcmp(text, "kept") != 0)
        return 4;
    if (fstat(file, &facts) != 0 || facts.st_size != AGAIN + 2 * FIRST || facts.st_blocks * 512 < facts.st_size)
        return 5;
    bmm__os_file_close(file);
    return 0;
}

PLAIN_TEST(space_is_allocated_where_the_file_system_cannot)
{
    for (int is_forbidden = 0; is_forbidden < 2; is_forbidden++) {
        char path[64];
        snprintf(path, sizeof path, "/tmp/brainmm-test-os-file.%d", (int)getpid());
        pid_t child = fork();
        if (child == 0)
            _exit(is_forbidden && !forbid_allocation() ? 77 : allocate_in(path));
        int status = 0;
        waitpid(child, &status, 0);
        unlink(path);
        if (status == 77 << 8)
            PLAIN_SKIP("the system lets us not filter calls");
        PLAIN_CHECK_EQUAL(status, 0);
    }
}
