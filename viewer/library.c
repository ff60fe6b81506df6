#include "viewer/library.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME "libbrainmm_debug.so"

bool bmm__library_find(char path[PATH_MAX], struct bmm__why *why)
{
    static const char *const places[] = {
        "/" NAME,
        "/../lib/" NAME,
        "/../lib64/" NAME,
#if defined(__x86_64__)
        "/../lib/x86_64-linux-gnu/" NAME,
#elif defined(__i386__)
        "/../lib/i386-linux-gnu/" NAME,
#elif defined(__aarch64__)
        "/../lib/aarch64-linux-gnu/" NAME,
#elif defined(__riscv)
        "/../lib/riscv64-linux-gnu/" NAME,
#endif
    };
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0)
        return bmm__fail(why, "cannot find out where brainmm is installed (is /proc mounted?)");
    self[length] = 0;
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (snprintf(path, PATH_MAX, "%s%s", self, places[i]) >= PATH_MAX)
            continue;
        if (access(path, R_OK) == 0)
            return true;
        if (errno == EACCES)
            return bmm__fail(why, "%s: %s", path, strerror(EACCES));
    }
    return bmm__fail(why, "no " NAME " beside %s/brainmm nor in ../lib", self);
}
