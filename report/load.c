#include "report/load.h"

#include "brainmm/snapshot.h"
#include "report/add_snapshot.h"
#include "report/process_alive.h"
#include "report/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static bool load_file(struct bmm__report *report, struct bmm__symbolizer *symbolizer, const char *path,
                      struct bmm__why *why)
{
    char head[16] = "";
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return bmm__fail(why, "%s: %s", path, strerror(errno));
    ssize_t bytes = read(file, head, sizeof head);
    int reason = errno;
    close(file);
    if (bytes < 0)
        return bmm__fail(why, "%s: %s", path, strerror(reason));
    if (bytes >= 8 && memcmp(head, BMM_SNAPSHOT_MAGIC, 8) == 0) {
        struct bmm__process_facts facts = { .is_running = bmm__snapshot_is_alive(path) };
        return bmm__report_add_snapshot(report, symbolizer, path, &facts, why);
    }
    if (bytes == 16 && memcmp(head, "SQLite format 3", 16) == 0)
        return bmm__read_sqlite(report, path, why);
    if (bytes > 0 && head[0] == '{')
        return bmm__read_json(report, path, why);
    return bmm__fail(why, "%s: neither a snapshot nor a .db or .json report", path);
}

/* What is wrong with the copy is wrong with what it was copied from. */
static void name_original(struct bmm__why *why, const char *copy, const char *path)
{
    size_t length = strlen(copy);
    struct bmm__why inner = *why;
    if (length > 0 && strncmp(inner.text, copy, length) == 0)
        bmm__fail(why, "%s%s", path, inner.text + length);
}

bool bmm__report_load(struct bmm__report *report, struct bmm__symbolizer *symbolizer, const char *path,
                      struct bmm__why *why)
{
    struct bmm__spool spool;
    if (!bmm__spool_open(&spool, path, why))
        return false;
    bool is_loaded = load_file(report, symbolizer, spool.path[0] != 0 ? spool.path : path, why);
    if (!is_loaded)
        name_original(why, spool.path, path);
    bmm__spool_close(&spool);
    return is_loaded;
}
