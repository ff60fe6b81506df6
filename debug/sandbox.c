/* See sandbox.h. prctl and syscall are the two doors to seccomp(2) that libc has; libseccomp goes through them, too. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "sandbox.h"

#include "options.h"
#include "recorder.h"

#include "core/atomic.h"
#include "core/os.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static uint32_t is_closed, is_strict;

bool bmm__sandbox_is_closed(void)
{
    return bmm__load_acquire(&is_closed) != 0;
}

bool bmm__sandbox_is_strict(void)
{
    return bmm__load_acquire(&is_strict) != 0;
}

/* Not libc's syscall(): looking that up allocates, and core calls this one before anything can be looked up. */
static long call(long number, const long a[6])
{
#if defined(__x86_64__)
    long result;
    register long fourth __asm__("r10") = a[3];
    register long fifth __asm__("r8") = a[4];
    register long sixth __asm__("r9") = a[5];
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long result __asm__("x0") = a[0];
    register long second __asm__("x1") = a[1];
    register long third __asm__("x2") = a[2];
    register long fourth __asm__("x3") = a[3];
    register long fifth __asm__("x4") = a[4];
    register long sixth __asm__("x5") = a[5];
    register long which __asm__("x8") = number;
    __asm__ volatile("svc #0"
                     : "+r"(result)
                     : "r"(second), "r"(third), "r"(fourth), "r"(fifth), "r"(sixth), "r"(which)
                     : "memory");
#else
#error "sandbox.c knows the system calls of x86-64 and aarch64: add a section"
#endif
    if (result < 0 && result >= -4095) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

static long close_in(long number, const long a[6])
{
    if (bmm__options.mode != BMM_MODE_OFF && bmm__recorder_is_open() && !bmm__sandbox_is_closed())
        bmm__recorder_make_room();
    bmm__os_populate_allow(false);
    bool wants_strict = (number == SYS_prctl && a[1] == SECCOMP_MODE_STRICT) ||
                        (number == SYS_seccomp && a[0] == SECCOMP_SET_MODE_STRICT);
    if (wants_strict) { /* before: a signal handler may come at once */
        if (bmm__options.mode != BMM_MODE_OFF && bmm__recorder_is_open())
            bmm__recorder_stop_clock();
        bmm__store_release(&is_strict, 1u);
    }
    long result = call(number, a);
    if (wants_strict && result != 0)
        bmm__store_release(&is_strict, 0u);
    bool is_listened = number == SYS_seccomp && (a[1] & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0; /* to a descriptor */
    if (result == 0 || (result > 0 && is_listened))
        (void)bmm__exchange_seq_cst(&is_closed, 1u);
    else if (!bmm__sandbox_is_closed()) /* it asked what there is, perhaps */
        bmm__os_populate_allow(true);
    if (bmm__load_seq_cst(&is_closed) != 0)
        bmm__os_populate_allow(false); /* also if another thread's filter failed, or was installed, meanwhile */
    return result;
}

static long call_watched(long number, const long a[6])
{
    bool is_filter = (number == SYS_seccomp && a[0] != SECCOMP_GET_ACTION_AVAIL && a[0] != SECCOMP_GET_NOTIF_SIZES) ||
                     (number == SYS_prctl && a[0] == PR_SET_SECCOMP);
    return is_filter ? close_in(number, a) : call(number, a);
}

EXPORT long syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    return call_watched(number, a);
}

EXPORT int prctl(int option, ...)
{
    long a[6] = { option };
    va_list list;
    va_start(list, option);
    for (int i = 1; i < 5; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    return (int)call_watched(SYS_prctl, a);
}
