#include "report/write_sqlite.h"

#include "report/role.h"
#include "report/sentence.h"
#include "report/sqlite_schema.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct writing {
    const struct bmm__report *report;
    sqlite3 *db;
    sqlite3_stmt *frame, *stack, *stack_frame;
    struct bmm__map frames, stacks; /* pointer → row */
    int status;                     /* the first failure; SQLITE_OK while all is well */
};

static void note_status(struct writing *w, int status)
{
    if (w->status == SQLITE_OK && status != SQLITE_OK && status != SQLITE_DONE && status != SQLITE_ROW)
        w->status = status;
}

static sqlite3_stmt *prepare(struct writing *w, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (w->status == SQLITE_OK)
        note_status(w, sqlite3_prepare_v2(w->db, sql, -1, &statement, NULL));
    return statement;
}

/* Types: i int64_t · o int is_known, int64_t (SQL null where it is not) · h uint64_t address ·
 * t text that lives until the row is in (NULL: SQL null). */
static void insert(struct writing *w, sqlite3_stmt *statement, const char *types, ...)
{
    va_list arguments;
    if (w->status != SQLITE_OK)
        return;
    va_start(arguments, types);
    for (int i = 0; types[i] != 0; i++) {
        if (types[i] == 'i') {
            note_status(w, sqlite3_bind_int64(statement, i + 1, va_arg(arguments, int64_t)));
        } else if (types[i] == 't') {
            note_status(w, sqlite3_bind_text(statement, i + 1, va_arg(arguments, const char *), -1, SQLITE_STATIC));
        } else if (types[i] == 'h') {
            char text[24];
            snprintf(text, sizeof text, "0x%" PRIx64, va_arg(arguments, uint64_t));
            note_status(w, sqlite3_bind_text(statement, i + 1, text, -1, SQLITE_TRANSIENT));
        } else {
            int is_known = va_arg(arguments, int);
            int64_t value = va_arg(arguments, int64_t);
            note_status(w,
                        is_known ? sqlite3_bind_int64(statement, i + 1, value) : sqlite3_bind_null(statement, i + 1));
        }
    }
    va_end(arguments);
    note_status(w, sqlite3_step(statement));
    sqlite3_reset(statement);
}

static int64_t number(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static int64_t frame_row(struct writing *w, const struct bmm__frame *frame)
{
    bool is_new;
    uint32_t row = bmm__map_put(&w->frames, (uintptr_t)frame, 0, w->frames.count + 1, &is_new);
    if (is_new)
        insert(w, w->frame, "ittothi", (int64_t)row, frame->function, frame->file, frame->line > 0,
               (int64_t)frame->line, frame->module, frame->offset, (int64_t)frame->is_inlined);
    return row;
}

/* Row of the stack, 0 for one without frames. */
static int64_t stack_row(struct writing *w, const struct bmm__stack *stack)
{
    bool is_new;
    if (stack->count == 0)
        return 0;
    uint32_t row = bmm__map_put(&w->stacks, (uintptr_t)stack, 0, w->stacks.count + 1, &is_new);
    if (is_new) {
        insert(w, w->stack, "iiii", (int64_t)row, (int64_t)stack->count, (int64_t)stack->is_truncated,
               (int64_t)bmm__stack_site(stack));
        for (uint32_t i = 0; i < stack->count; i++)
            insert(w, w->stack_frame, "iii", (int64_t)row, (int64_t)i, frame_row(w, stack->frames[i]));
    }
    return row;
}

static void put_meta(struct writing *w)
{
    const struct bmm__report *report = w->report;
    sqlite3_stmt *row = prepare(w, "INSERT INTO meta VALUES(?,?)");
    insert(w, row, "tt", "format", BMM__REPORT_FORMAT);
    insert(w, row, "ti", "version", (int64_t)BMM__SQLITE_VERSION);
    insert(w, row, "tt", "mode", report->check.mode);
    insert(w, row, "ti", "ran", (int64_t)report->check.ran);
    insert(w, row, "ti", "incomplete", (int64_t)report->check.is_incomplete);
    insert(w, row, "tt", "reason", report->check.reason);
    insert(w, row, "ti", "leaked_bytes", number(report->leaked_bytes));
    insert(w, row, "ti", "leaked_blocks", number(report->leaked_blocks));
    insert(w, row, "ti", "errors", (int64_t)report->error_count);
    insert(w, row, "ti", "runtime_bytes", number(report->runtime_bytes));
    insert(w, row, "ti", "runtime_blocks", number(report->runtime_blocks));
    insert(w, row, "ti", "expected_bytes", number(report->expected_bytes));
    insert(w, row, "ti", "expected_blocks", number(report->expected_blocks));
    sqlite3_finalize(row);
}

static char *command_text(const struct bmm__process *process)
{
    cJSON *array = cJSON_CreateArray();
    for (uint32_t i = 0; i < process->command_count; i++)
        cJSON_AddItemToArray(array, cJSON_CreateString(process->command[i]));
    char *text = cJSON_PrintUnformatted(array);
    cJSON_Delete(array);
    return text;
}

static void put_processes(struct writing *w)
{
    sqlite3_stmt *row = prepare(w, "INSERT INTO processes VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
    sqlite3_stmt *module = prepare(w, "INSERT INTO modules VALUES(?,?,?,?,?)");
    for (uint32_t i = 0; i < w->report->process_count; i++) {
        const struct bmm__process *process = &w->report->processes[i];
        char *command = command_text(process);
        insert(w, row, "iooitootiittiiiiii", (int64_t)i, process->pid != 0, (int64_t)process->pid, process->ppid != 0,
               (int64_t)process->ppid, (int64_t)process->exec_count, command, (int)process->has_exit,
               (int64_t)process->exit, process->signal != 0, (int64_t)process->signal, process->check.mode,
               (int64_t)process->check.ran, (int64_t)process->check.is_incomplete, process->check.reason,
               process->state, (int64_t)process->is_forked, number(process->start_unix_ns),
               number(process->exit_unix_ns), number(process->alloc_count), number(process->free_count),
               number(process->peak_bytes));
        free(command);
        for (uint32_t k = 0; k < process->module_count; k++)
            insert(w, module, "itthh", (int64_t)i, process->modules[k].path, process->modules[k].build_id,
                   process->modules[k].start, process->modules[k].end);
    }
    sqlite3_finalize(row);
    sqlite3_finalize(module);
}

static void put_leaks(struct writing *w, const char *sql, const struct bmm__leak *leaks, uint32_t count)
{
    sqlite3_stmt *row = prepare(w, sql);
    for (uint32_t i = 0; i < count; i++) {
        const struct bmm__leak *leak = &leaks[i];
        int64_t stack = stack_row(w, leak->stack);
        insert(w, row, "iittiitot", (int64_t)i + 1, (int64_t)leak->process, leak->class, leak->kind,
               number(leak->bytes), number(leak->blocks), leak->fingerprint, stack != 0, stack, leak->type);
    }
    sqlite3_finalize(row);
}

static void put_errors(struct writing *w)
{
    sqlite3_stmt *row = prepare(w, "INSERT INTO errors VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
    sqlite3_stmt *change = prepare(w, "INSERT INTO error_changes VALUES(?,?,?,?,?)");
    for (uint32_t i = 0; i < w->report->error_count; i++) {
        const struct bmm__error *error = &w->report->errors[i];
        char message[320];
        bmm__error_sentence(error, message, sizeof message);
        int64_t detected = stack_row(w, error->detected);
        int64_t allocated = stack_row(w, error->allocated), freed = stack_row(w, error->freed);
        insert(w, row, "iitttihhiiiittttiitooo", (int64_t)i + 1, (int64_t)error->process, error->kind, error->moment,
               message, (int64_t)error->repeats, error->address, error->block, number(error->size),
               number(error->given_size), number(error->given_align), number(error->align), error->alloc_kind,
               error->free_kind, error->thread, error->alloc_thread, number(error->time_ns),
               (int64_t)error->changed_count, error->fingerprint, detected != 0, detected, allocated != 0, allocated,
               freed != 0, freed);
        for (uint32_t k = 0; k < error->listed_count; k++)
            insert(w, change, "iiiii", (int64_t)i + 1, (int64_t)k, error->changed[k].offset,
                   (int64_t)error->changed[k].expected, (int64_t)error->changed[k].found);
    }
    sqlite3_finalize(row);
    sqlite3_finalize(change);
}

static void put_rest(struct writing *w)
{
    sqlite3_stmt *row = prepare(w, "INSERT INTO unchecked VALUES(?,?,?,?,?)");
    for (uint32_t i = 0; i < w->report->unchecked_count; i++) {
        const struct bmm__unchecked *unchecked = &w->report->unchecked[i];
        insert(w, row, "iiott", (int64_t)i + 1, (int64_t)unchecked->process, unchecked->pid != 0,
               (int64_t)unchecked->pid, unchecked->program, unchecked->reason);
    }
    sqlite3_finalize(row);
    row = prepare(w, "INSERT INTO notes VALUES(?,?,?,?)");
    for (uint32_t i = 0; i < w->report->note_count; i++) {
        const struct bmm__note *note = &w->report->notes[i];
        bool is_of_process = note->process != BMM__NO_PROCESS;
        insert(w, row, "ioot", (int64_t)i + 1, is_of_process, (int64_t)note->process, is_of_process,
               (int64_t)note->process_count, note->text);
    }
    sqlite3_finalize(row);
}

static void execute(struct writing *w, const char *sql)
{
    if (w->status == SQLITE_OK)
        note_status(w, sqlite3_exec(w->db, sql, NULL, NULL, NULL));
}

bool bmm__write_sqlite(const struct bmm__report *report, const char *path, struct bmm__why *why)
{
    struct writing w = { .report = report };
    note_status(&w, sqlite3_open_v2(path, &w.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL));
    /* The file has no name that anyone looks at until it is whole: a journal would protect nothing. */
    execute(&w, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA user_version=1; BEGIN");
    execute(&w, bmm__sqlite_tables);
    w.frame = prepare(&w, "INSERT INTO frames VALUES(?,?,?,?,?,?,?)");
    w.stack = prepare(&w, "INSERT INTO stacks VALUES(?,?,?,?)");
    w.stack_frame = prepare(&w, "INSERT INTO stack_frames VALUES(?,?,?)");
    put_meta(&w);
    put_processes(&w);
    put_leaks(&w, "INSERT INTO leaks VALUES(?,?,?,?,?,?,?,?,?)", report->leaks, report->leak_count);
    put_leaks(&w, "INSERT INTO runtime VALUES(?,?,?,?,?,?,?,?,?)", report->runtime, report->runtime_count);
    put_leaks(&w, "INSERT INTO expected VALUES(?,?,?,?,?,?,?,?,?)", report->expected, report->expected_count);
    put_errors(&w);
    put_rest(&w);
    sqlite3_finalize(w.frame);
    sqlite3_finalize(w.stack);
    sqlite3_finalize(w.stack_frame);
    execute(&w, bmm__sqlite_indexes_and_views);
    execute(&w, "COMMIT");
    bool is_written = w.status == SQLITE_OK || bmm__fail(why, "%s", sqlite3_errstr(w.status));
    sqlite3_close(w.db);
    bmm__map_free(&w.frames);
    bmm__map_free(&w.stacks);
    return is_written;
}
