#include "report/read_ahead.h"

#include "report/module_file.h"
#include "report/role.h"
#include "report/snapshot_read.h"

#include <sys/resource.h>
#include <sys/stat.h>

#define FILES_BYTES_MAX (64 << 20) /* of all that are read: some 30 ms */

/* False: there are none yet. */
static bool read_modules(struct bmm__symbolizer *symbolizer, const struct bmm__snapshot *snapshot)
{
    struct bmm__cursor cursor = { 0 };
    struct bmm__module_record module;
    uint64_t left = FILES_BYTES_MAX;
    bool is_named = false;
    while (bmm__snapshot_next_module(snapshot, &cursor, &module)) {
        struct stat facts;
        if (bmm__role_of_module(module.path) != BMM_ROLE_PROGRAM || stat(module.path, &facts) != 0)
            continue;
        is_named = true;
        if ((uint64_t)facts.st_size > left)
            continue;
        left -= (uint64_t)facts.st_size;
        bmm__symbolizer_read_ahead(
            symbolizer, bmm__symbolizer_module(symbolizer, module.path, module.build_id, module.build_id_bytes));
    }
    return is_named;
}

/* There it could fail for want of memory, which ends the process that waits for the program. */
static bool is_limited(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY;
}

bool bmm__report_read_ahead(struct bmm__symbolizer *symbolizer, const char *path)
{
    struct bmm__snapshot snapshot;
    struct bmm__why why;
    if (bmm__module_file_asks_servers() || is_limited()) /* the former in vain, perhaps */
        return true;
    if (!bmm__snapshot_open(&snapshot, path, &why))
        return false;
    bool is_named = read_modules(symbolizer, &snapshot);
    bmm__snapshot_close(&snapshot);
    return is_named;
}
