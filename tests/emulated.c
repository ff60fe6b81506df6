/* Where tests run in a user-mode emulator: what qemu 7 promises of memory and does not keep, said honestly, as a kernel would that
 * cannot do it. Linked into the tests of another machine (CMAKE_CROSSCOMPILING), and into nothing else. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DONTNEED_LOCKED 24
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

__attribute__((weak)) /* a test may have its own */
void *
mremap(void *start, size_t old_bytes, size_t new_bytes, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    void *place = va_arg(list, void *);
    va_end(list);
    if (flags & MREMAP_DONTUNMAP) { /* qemu takes what stays for unmapped; kernels before 5.7 refuse it */
        errno = EINVAL;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mremap, start, old_bytes, new_bytes, flags, place); /* NOLINT */
}

/* Whether no page of it has memory. Not by reading: there are systems where what is only read counts as resident. */
static bool is_gone(char *start, size_t bytes)
{
    enum { PAGES = 4096, PAGE_BYTES = 4096 };
    unsigned char there[PAGES];
    for (size_t done = 0; done < bytes; done += (size_t)PAGES * PAGE_BYTES) {
        size_t some = bytes - done < (size_t)PAGES * PAGE_BYTES ? bytes - done : (size_t)PAGES * PAGE_BYTES;
        if (mincore(start + done, some, there) != 0)
            return false;
        for (size_t page = 0; page < some / PAGE_BYTES; page++)
            if (there[page] & 1)
                return false;
    }
    return true;
}

__attribute__((weak)) /* likewise */
int madvise(void *start, size_t bytes, int advice)
{
    if (advice == MADV_WIPEONFORK || advice == MADV_DONTFORK) { /* never done */
        errno = EINVAL;
        return -1;
    }
    if (syscall(SYS_madvise, start, bytes, advice) != 0)
        return -1;
    if ((advice == MADV_DONTNEED || advice == DONTNEED_LOCKED) &&
        !is_gone(start, bytes)) { /* locked, or moved before: qemu only says that it was done */
        errno = EINVAL;
        return -1;
    }
    return 0;
}
