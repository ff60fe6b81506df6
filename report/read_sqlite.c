/* A report database read back. A table that is missing makes it no report; a value of the wrong type counts as 0 or
 * as absent, by SQLite's own rules. */
#include "report/load.h"
#include "report/role.h"

#include <cjson/cJSON.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    struct bmm__report *report;
    sqlite3 *db;
    int status;
    uint32_t process_base, process_count;
    struct bmm__frame *frames; /* by id - 1, in the arena */
    uint32_t frame_count;
    struct bmm__stack *stacks; /* by id - 1, in the arena */
    uint32_t stack_count;
};

static void each_row(struct reading *r, const char *sql, void (*row)(struct reading *r, sqlite3_stmt *s))
{
    sqlite3_stmt *statement = NULL;
    if (r->status == SQLITE_OK)
        r->status = sqlite3_prepare_v2(r->db, sql, -1, &statement, NULL);
    while (r->status == SQLITE_OK) {
        int status = sqlite3_step(statement);
        if (status == SQLITE_DONE)
            break;
        if (status == SQLITE_ROW)
            row(r, statement);
        else
            r->status = status;
    }
    sqlite3_finalize(statement);
}

static const char *text_or_null(struct reading *r, sqlite3_stmt *s, int column)
{
    return bmm__intern(&r->report->strings, (const char *)sqlite3_column_text(s, column));
}

static const char *text_of(struct reading *r, sqlite3_stmt *s, int column)
{
    const char *text = text_or_null(r, s, column);
    return text != NULL ? text : bmm__intern(&r->report->strings, "");
}

static uint64_t number_of(sqlite3_stmt *s, int column)
{
    int64_t number = sqlite3_column_int64(s, column);
    return number > 0 ? (uint64_t)number : 0;
}

static uint32_t small_of(sqlite3_stmt *s, int column)
{
    uint64_t number = number_of(s, column);
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

static uint64_t address_of(sqlite3_stmt *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s, column);
    return text != NULL ? strtoull(text, NULL, 0) : 0;
}

static uint32_t process_of(const struct reading *r, sqlite3_stmt *s, int column)
{
    uint32_t process = small_of(s, column);
    return r->process_base + (process < r->process_count ? process : 0);
}

static const struct bmm__stack *stack_of(const struct reading *r, sqlite3_stmt *s, int column)
{
    uint64_t id = number_of(s, column);
    return id > 0 && id <= r->stack_count ? &r->stacks[id - 1] : &bmm__no_stack;
}

/* ---- rows ---- */

static void read_meta(struct reading *r, sqlite3_stmt *s)
{
    const char *key = text_of(r, s, 0);
    if (strcmp(key, "mode") == 0)
        r->report->check.mode = text_of(r, s, 1);
    else if (strcmp(key, "ran") == 0)
        r->report->check.ran = number_of(s, 1) != 0;
    else if (strcmp(key, "incomplete") == 0)
        r->report->check.is_incomplete = number_of(s, 1) != 0;
    else if (strcmp(key, "reason") == 0)
        r->report->check.reason = text_or_null(r, s, 1);
}

static void read_command(struct reading *r, struct bmm__process *process, const char *text)
{
    cJSON *array = cJSON_Parse(text);
    process->command = bmm__arena_zero(&r->report->arena, (size_t)cJSON_GetArraySize(array), sizeof *process->command);
    const cJSON *member;
    cJSON_ArrayForEach(member, array)
    {
        const char *argument = bmm__intern(&r->report->strings, cJSON_GetStringValue(member));
        process->command[process->command_count++] = argument != NULL ? argument : bmm__intern(&r->report->strings, "");
    }
    cJSON_Delete(array);
}

static void read_process(struct reading *r, sqlite3_stmt *s)
{
    struct bmm__process *process = bmm__report_add_process(r->report);
    r->process_count++;
    process->pid = small_of(s, 0);
    process->ppid = small_of(s, 1);
    process->exec_count = small_of(s, 2);
    read_command(r, process, text_of(r, s, 3));
    process->has_exit = sqlite3_column_type(s, 4) != SQLITE_NULL;
    process->exit = sqlite3_column_int(s, 4);
    process->signal = sqlite3_column_int(s, 5) & 0x7f;
    process->check =
        (struct bmm__check){ text_of(r, s, 6), number_of(s, 7) != 0, text_or_null(r, s, 8), number_of(s, 16) != 0 };
    process->state = text_of(r, s, 9);
    process->is_forked = number_of(s, 10) != 0;
    process->start_unix_ns = number_of(s, 11);
    process->exit_unix_ns = number_of(s, 12);
    process->alloc_count = number_of(s, 13);
    process->free_count = number_of(s, 14);
    process->peak_bytes = number_of(s, 15);
}

/* The process a row names exactly, NULL if there is none. */
static struct bmm__process *exact_process(struct reading *r, sqlite3_stmt *s, int column)
{
    uint32_t process = small_of(s, column);
    return process < r->process_count ? &r->report->processes[r->process_base + process] : NULL;
}

static void count_modules(struct reading *r, sqlite3_stmt *s)
{
    struct bmm__process *process = exact_process(r, s, 0);
    if (process == NULL || process->modules != NULL)
        return;
    process->module_capacity = small_of(s, 1);
    process->modules = bmm__arena_zero(&r->report->arena, process->module_capacity, sizeof *process->modules);
}

static void read_module(struct reading *r, sqlite3_stmt *s)
{
    struct bmm__process *process = exact_process(r, s, 0);
    if (process != NULL && process->module_count < process->module_capacity)
        process->modules[process->module_count++] =
            (struct bmm__module){ text_of(r, s, 1), address_of(s, 3), address_of(s, 4), text_of(r, s, 2) };
}

static void make_tables(struct reading *r, sqlite3_stmt *s)
{
    r->frame_count = small_of(s, 0);
    r->stack_count = small_of(s, 1);
    r->frames = bmm__arena_zero(&r->report->arena, r->frame_count, sizeof *r->frames);
    r->stacks = bmm__arena_zero(&r->report->arena, r->stack_count, sizeof *r->stacks);
}

static void read_frame(struct reading *r, sqlite3_stmt *s)
{
    uint64_t id = number_of(s, 0);
    if (id == 0 || id > r->frame_count)
        return;
    const char *module = text_or_null(r, s, 4);
    r->frames[id - 1] = (struct bmm__frame){ .function = text_or_null(r, s, 1),
                                             .file = text_or_null(r, s, 2),
                                             .line = small_of(s, 3),
                                             .module = module,
                                             .offset = address_of(s, 5),
                                             .role = (uint8_t)bmm__role_of_module(module),
                                             .is_inlined = number_of(s, 6) != 0 };
    bmm__frame_settle(&r->frames[id - 1]);
}

/* One row per frame, by stack and position. */
static void read_stack_frame(struct reading *r, sqlite3_stmt *s)
{
    uint64_t id = number_of(s, 0), frame = number_of(s, 1), depth = number_of(s, 2);
    if (id == 0 || id > r->stack_count || frame == 0 || frame > r->frame_count || depth > 65536)
        return;
    struct bmm__stack *stack = &r->stacks[id - 1];
    /* The arena's memory is ours to write until the report is handed out. */
    const struct bmm__frame **frames = (const struct bmm__frame **)(uintptr_t)stack->frames;
    if (frames == NULL) {
        frames = bmm__arena_zero(&r->report->arena, depth, sizeof *frames);
        stack->frames = frames;
        stack->is_truncated = number_of(s, 3) != 0;
    }
    if (stack->count < depth)
        frames[stack->count++] = &r->frames[frame - 1];
}

static void read_leak(struct reading *r, sqlite3_stmt *s)
{
    *bmm__report_add_leak(r->report, (enum bmm__leak_list)number_of(s, 0)) =
        (struct bmm__leak){ .process = process_of(r, s, 2),
                            .class = text_of(r, s, 3),
                            .kind = text_of(r, s, 4),
                            .type = text_or_null(r, s, 9), /* NULL of a report that is older than the column, too */
                            .bytes = number_of(s, 5),
                            .blocks = number_of(s, 6),
                            .fingerprint = text_of(r, s, 7),
                            .stack = stack_of(r, s, 8) };
}

static void read_error(struct reading *r, sqlite3_stmt *s)
{
    struct bmm__error *error = bmm__report_add_error(r->report);
    error->process = process_of(r, s, 1);
    error->kind = text_of(r, s, 2);
    error->moment = text_of(r, s, 3);
    error->repeats = small_of(s, 5) > 0 ? small_of(s, 5) : 1;
    error->address = address_of(s, 6);
    error->block = address_of(s, 7);
    error->size = number_of(s, 8);
    error->given_size = number_of(s, 9);
    error->given_align = number_of(s, 10);
    error->align = number_of(s, 11);
    error->alloc_kind = text_of(r, s, 12);
    error->free_kind = text_of(r, s, 13);
    error->thread = text_or_null(r, s, 14);
    error->alloc_thread = text_or_null(r, s, 15);
    error->time_ns = number_of(s, 16);
    error->changed_count = small_of(s, 17);
    error->fingerprint = text_of(r, s, 18);
    error->detected = stack_of(r, s, 19);
    error->allocated = stack_of(r, s, 20);
    error->freed = stack_of(r, s, 21);
}

static void read_change(struct reading *r, sqlite3_stmt *s)
{
    uint64_t id = number_of(s, 0);
    uint32_t base = (uint32_t)number_of(s, 4);
    if (id == 0 || base + id > r->report->error_count)
        return;
    struct bmm__error *error = &r->report->errors[base + id - 1];
    if (error->listed_count < BMM__CHANGED_MAX)
        error->changed[error->listed_count++] =
            (struct bmm__changed){ sqlite3_column_int64(s, 1), (uint8_t)number_of(s, 2), (uint8_t)number_of(s, 3) };
    if (error->changed_count < error->listed_count)
        error->changed_count = error->listed_count;
}

static void read_unchecked(struct reading *r, sqlite3_stmt *s)
{
    *bmm__report_add_unchecked(r->report) =
        (struct bmm__unchecked){ process_of(r, s, 0), small_of(s, 1), text_of(r, s, 2), text_of(r, s, 3) };
}

static void read_note(struct reading *r, sqlite3_stmt *s)
{
    bool is_of_process = sqlite3_column_type(s, 0) != SQLITE_NULL;
    uint32_t count = small_of(s, 2);
    bmm__report_add_notes(r->report, is_of_process ? process_of(r, s, 0) : BMM__NO_PROCESS, count > 0 ? count : 1,
                          text_of(r, s, 1));
}

static void read_all(struct reading *r)
{
    uint32_t error_base = r->report->error_count;
    if (r->process_base == 0)
        each_row(r, "SELECT key, value FROM meta", read_meta);
    each_row(r,
             "SELECT pid, ppid, exec_count, command, exit, signal, mode, ran, reason, state, forked, start_unix_ns,"
             " exit_unix_ns, allocations, frees, peak_bytes, incomplete FROM processes ORDER BY id",
             read_process);
    if (r->process_count > 0) {
        each_row(r, "SELECT process, count(*) FROM modules GROUP BY process", count_modules);
        each_row(r, "SELECT process, path, build_id, start, \"end\" FROM modules ORDER BY rowid", read_module);
        each_row(r, "SELECT (SELECT count(*) FROM frames), (SELECT count(*) FROM stacks)", make_tables);
        each_row(r, "SELECT id, function, file, line, module, offset, inlined FROM frames", read_frame);
        each_row(r,
                 "SELECT stack, frame, depth, truncated FROM stack_frames JOIN stacks ON stacks.id = stack"
                 " ORDER BY stack, position",
                 read_stack_frame);
        each_row(r, "SELECT 0, * FROM leaks ORDER BY id", read_leak);
        each_row(r, "SELECT 1, * FROM runtime ORDER BY id", read_leak);
        each_row(r, "SELECT 2, * FROM expected ORDER BY id", read_leak);
        each_row(r, "SELECT * FROM errors ORDER BY id", read_error);
        char changes[160];
        sqlite3_snprintf(sizeof changes, changes,
                         "SELECT error, offset, expected, found, %u FROM error_changes ORDER BY error, position",
                         error_base);
        each_row(r, changes, read_change);
        each_row(r, "SELECT process, pid, program, reason FROM unchecked ORDER BY id", read_unchecked);
    }
    each_row(r, "SELECT process, text, processes FROM notes ORDER BY id", read_note);
}

bool bmm__read_sqlite(struct bmm__report *report, const char *path, struct bmm__why *why)
{
    struct reading r = { .report = report, .process_base = report->process_count };
    r.status = sqlite3_open_v2(path, &r.db, SQLITE_OPEN_READONLY, NULL);
    read_all(&r);
    /* What cannot be read is told by SQLite in its own words: no such table, malformed image … */
    bool is_read = r.status == SQLITE_OK || bmm__fail(why, "%s: no report of ours: %s", path, sqlite3_errmsg(r.db));
    sqlite3_close(r.db);
    return is_read;
}
