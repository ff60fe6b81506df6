/* See rights.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "rights.h"

#include "options.h"
#include "recorder.h"
#include "sandbox.h"

#include "core/os.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static int (*real_chroot)(const char *path);
static int (*real_setuid)(uid_t user), (*real_seteuid)(uid_t user);
static int (*real_setreuid)(uid_t real, uid_t effective);
static int (*real_setresuid)(uid_t real, uid_t effective, uid_t saved);

/* function: a pointer to one. */
static void find(const char *name, void *function)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(function, &symbol, sizeof symbol); /* as POSIX wants it made */
}

void bmm__rights_start(void)
{
    find("chroot", &real_chroot);
    find("setuid", &real_setuid);
    find("seteuid", &real_seteuid);
    find("setreuid", &real_setreuid);
    find("setresuid", &real_setresuid);
}

/* A child of vfork makes no room: it is about to become another program, and the recorder is its parent's. */
static void prepare(void)
{
    if (bmm__options.mode != BMM_MODE_OFF && bmm__recorder_is_open() && !bmm__sandbox_is_closed() &&
        bmm__recorder_header()->pid == bmm__os_process_id())
        bmm__recorder_make_room();
    if (real_setuid == NULL)
        bmm__rights_start();
}

static int none(void)
{
    errno = ENOSYS;
    return -1;
}

EXPORT int chroot(const char *path)
{
    prepare();
    return real_chroot != NULL ? real_chroot(path) : none();
}

EXPORT int setuid(uid_t user)
{
    prepare();
    return real_setuid != NULL ? real_setuid(user) : none();
}

EXPORT int seteuid(uid_t user)
{
    prepare();
    return real_seteuid != NULL ? real_seteuid(user) : none();
}

EXPORT int setreuid(uid_t real, uid_t effective)
{
    prepare();
    return real_setreuid != NULL ? real_setreuid(real, effective) : none();
}

EXPORT int setresuid(uid_t real, uid_t effective, uid_t saved)
{
    prepare();
    return real_setresuid != NULL ? real_setresuid(real, effective, saved) : none();
}
