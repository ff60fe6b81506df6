#include "report/read_ahead.h"

#include "report/add_snapshot.h"
#include "report/module_file.h"
#include "report/snapshot_read.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYMBOL_BYTES_MAX (4 << 20) /* some 40 ms */
#define EXPECTED_BYTES_MAX ((uint64_t)8 << 20)

/* There it could fail for want of memory, which ends the process that waits for the program. */
static bool is_limited(void)
{
    struct rlimit space, data;
    return getrlimit(RLIMIT_AS, &space) != 0 || space.rlim_cur != RLIM_INFINITY || getrlimit(RLIMIT_DATA, &data) != 0 ||
           data.rlim_cur != RLIM_INFINITY;
}

void bmm__report_expect_ahead(const char *path)
{
    struct stat status;
    if (is_limited() || stat(path, &status) != 0)
        return;
    uint64_t bytes = (uint64_t)status.st_size / 2 * 3; /* it may become larger still */
    bmm__report_expect(bytes < EXPECTED_BYTES_MAX ? bytes : EXPECTED_BYTES_MAX);
}

/* False: the system does not tell. */
static bool find_file(char file[PATH_MAX], uint32_t pid)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/%u/exe", (unsigned)pid);
    ssize_t bytes = readlink(link, file, PATH_MAX - 1);
    if (bytes <= 0)
        return false;
    file[bytes] = 0;
    return true;
}

bool bmm__report_read_ahead(struct bmm__symbolizer *symbolizer, const char *path, uint32_t pid)
{
    char file[PATH_MAX];
    struct bmm__snapshot snapshot;
    struct bmm__why why;
    if (bmm__module_file_asks_servers() || is_limited()) /* the former in vain, perhaps */
        return true;
    if (!find_file(file, pid) || !bmm__snapshot_open(&snapshot, path, &why))
        return false;
    struct bmm__cursor cursor = { 0 };
    struct bmm__module_record module;
    bool is_named = false;
    while (!is_named && bmm__snapshot_next_module(&snapshot, &cursor, &module))
        is_named = strcmp(module.path, file) == 0;
    if (is_named)
        bmm__symbolizer_read_ahead(
            symbolizer, bmm__symbolizer_module(symbolizer, module.path, module.build_id, module.build_id_bytes),
            SYMBOL_BYTES_MAX);
    bmm__snapshot_close(&snapshot);
    return is_named;
}
