/* Where the viewer is. See exit.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "exit.h"

#include "path.h"

#include "core/os.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static char library[PATH_MAX];
static char viewer[PATH_MAX + 32];

void bmm__viewer_start(void)
{
    Dl_info info;
    if (dladdr(library, &info) == 0 || info.dli_fname == NULL || realpath(info.dli_fname, library) == NULL)
        library[0] = '\0';
}

const char *bmm__library_name(void)
{
    const char *slash = strrchr(library, '/');
    const char *name = slash != NULL ? slash + 1 : library;
    return strstr(name, ".so") != NULL ? name : "";
}

static bool try_beside_library(const char *relative)
{
    const char *slash = strrchr(library, '/');
    if (slash == NULL)
        return false;
    size_t directory = (size_t)(slash + 1 - library);
    memcpy(viewer, library, directory);
    memcpy(viewer + directory, relative, strlen(relative) + 1);
    return bmm__os_is_file(viewer);
}

const char *bmm__viewer_path(void)
{
    const char *named = bmm__os_is_secure() ? NULL : bmm__os_environment("BRAINMM_VIEWER");
    if (named != NULL && *named != '\0')
        return (named = bmm__path_absolute(named, viewer, sizeof viewer)) != NULL && bmm__os_is_file(named) ? named
                                                                                                            : NULL;
    if (try_beside_library("brainmm") || try_beside_library("../bin/brainmm"))
        return viewer;
    return NULL;
}
