#include "report/read_ahead.h"

#include "report/arena.h"
#include "report/module_file.h"
#include "report/snapshot_read.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SYMBOL_BYTES_MAX (4 << 20) /* some 40 ms */
#define MEMORY_BYTES (12 << 20)    /* for some thousand leaks */

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

enum bmm__read_ahead bmm__report_read_ahead(struct bmm__symbolizer *symbolizer, const char *path, uint32_t pid)
{
    char file[PATH_MAX];
    struct bmm__snapshot snapshot;
    struct bmm__why why;
    if (bmm__module_file_asks_servers() || bmm__is_memory_limited()) /* the former in vain, perhaps */
        return BMM__AHEAD_NEVER;
    if (!find_file(file, pid) || !bmm__snapshot_open(&snapshot, path, &why))
        return BMM__AHEAD_NOT_YET;
    struct bmm__cursor cursor = { 0 };
    struct bmm__module_record module;
    bool is_named = false, is_running = snapshot.header.state == BMM_SNAPSHOT_RUNNING; /* not an image that is gone */
    while (is_running && !is_named && bmm__snapshot_next_module(&snapshot, &cursor, &module))
        is_named = strcmp(module.path, file) == 0;
    if (is_named) {
        bmm__prefault(MEMORY_BYTES);
        bmm__symbolizer_read_ahead(
            symbolizer, bmm__symbolizer_module(symbolizer, module.path, module.build_id, module.build_id_bytes),
            SYMBOL_BYTES_MAX);
    }
    bmm__snapshot_close(&snapshot);
    return is_named ? BMM__AHEAD_DONE : BMM__AHEAD_NOT_YET;
}
