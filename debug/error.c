/* See error.h. Does not judge: who calls has found the error. */
#include "error.h"

#include "block.h"
#include "core/text.h"
#include "options.h"
#include "process.h"
#include "thread.h"

#include "core/atomic.h"
#include "core/os.h"

#include <string.h>

static struct bmm_snapshot_error *table; /* constant after open */
static uint64_t keys[BMM__ERRORS_MAX];   /* private: what the table's entries are about; 0: unused (E2) */
static uint32_t report_count;

void bmm__error_open(void)
{
    table = bmm__recorder_chunk(BMM_CHUNK_ERRORS, BMM__ERRORS_MAX * sizeof *table, 0, NULL);
}

void bmm__error_fork_child(void)
{
    memset(keys, 0, sizeof keys);
    report_count = 0;
    if (table != NULL && !bmm__recorder_is_open())
        memset(table, 0, BMM__ERRORS_MAX * sizeof *table); /* a private one was copied with everything else */
}

static uint64_t key_of(const struct bmm_snapshot_error *error)
{
    uint64_t key = error->kind;
    const uint32_t stacks[] = { error->detected_stack, error->alloc_stack, error->free_stack };
    for (unsigned i = 0; i < 3; i++)
        key = (key ^ stacks[i] ^ key >> 29) * 0x9e3779b97f4a7c15u;
    return key | 1;
}

struct bmm_snapshot_error bmm__error_about(const struct bmm__block *block, enum bmm_error_kind kind,
                                           enum bmm_error_moment moment)
{
    const struct bmm__record *record = block->record;
    return (struct bmm_snapshot_error){
        .kind = (uint32_t)kind,
        .moment = (uint32_t)moment,
        .address = block->start,
        .block = block->start,
        .size = bmm__record_size(record),
        .align = bmm__record_align(record),
        .alloc_kind = record->kind,
        .alloc_stack = record->alloc_stack,
        .free_stack = record->free_stack,
        .alloc_thread = record->thread,
    };
}

static void say(const struct bmm_snapshot_error *error, const char *ending)
{
    static const char *const kinds[] = { "error",         "double-free",     "invalid-free",
                                         "interior-free", "mismatched-free", "sized-delete-mismatch",
                                         "heap-overflow", "heap-underflow",  "write-after-free" };
    static const char *const moments[] = { "",         " at free",  " at realloc", " at leaving the quarantine",
                                           " at exit", " on demand" };
    struct bmm__text line;
    bmm__text_begin(&line);
    bmm__text_put(&line, kinds[error->kind < 9 ? error->kind : 0]);
    bmm__text_put(&line, " of ");
    bmm__text_put_hex(&line, error->address);
    if (error->block != 0) {
        if (error->block != error->address) {
            bmm__text_put(&line, " in block ");
            bmm__text_put_hex(&line, error->block);
        }
        bmm__text_put(&line, " (");
        bmm__text_put_decimal(&line, error->size);
        bmm__text_put(&line, " bytes)");
    }
    bmm__text_put(&line, moments[error->moment < 6 ? error->moment : 0]);
    bmm__text_put(&line, ending);
    bmm__text_send(&line);
}

static void complete(struct bmm_snapshot_error *error)
{
    const struct bmm__thread *thread = bmm__thread_current();
    error->thread = thread != NULL ? thread->index : BMM__THREAD_INDEX_SHARED;
    error->time_ns = bmm__recorder_now_ns();
    error->repeat_count = 1;
    error->committed = 0;
}

enum entered { NOWHERE, NEW, AGAIN };

/* NOWHERE: the table is full, or there is none. */
static enum entered enter(const struct bmm_snapshot_error *error)
{
    uint64_t key = key_of(error);
    for (uint32_t i = 0; table != NULL && i < BMM__ERRORS_MAX; i++) {
        uint64_t found = bmm__load_acquire(&keys[i]);
        if (found == 0 && bmm__cas_acq_rel(&keys[i], &found, key)) {
            uint32_t repeats = bmm__load_relaxed(&table[i].repeat_count); /* some came while we entered it */
            table[i] = *error;
            bmm__add_relaxed(&table[i].repeat_count, repeats);
            bmm__store_release(&table[i].committed, 1u);
            return NEW;
        }
        if (found == key) {
            bmm__add_relaxed(&table[i].repeat_count, 1u);
            return AGAIN;
        }
    }
    bmm__recorder_flag(BMM_SNAPSHOT_ERRORS_LOST);
    return NOWHERE;
}

void bmm__error_report(const struct bmm_snapshot_error *found)
{
    struct bmm_snapshot_error error = *found;
    bool is_settled = bmm__process_is_settled(); /* P1 */
    if (is_settled)
        complete(&error);
    enum entered entered = is_settled ? enter(&error) : NOWHERE;
    bmm__add_relaxed(&report_count, 1u);
    if (bmm__options.stops_on_error) {
        say(&error, "; stopped");
        if (bmm__recorder_is_open() && !bmm__options.is_managed)
            bmm__error_say_where("report");
        bmm__os_abort();
    }
    bool is_unread = entered == NEW && bmm__options.is_managed && !bmm__recorder_is_named();
    if (entered == NOWHERE || !bmm__recorder_is_open() || is_unread)
        say(&error, ""); /* E3 */
}

void bmm__error_say_where(const char *what)
{
    const char *path = bmm__recorder_path();
    struct bmm__text line;
    bmm__text_begin(&line);
    bmm__text_put(&line, what);
    bmm__text_put(&line, ": run 'brainmm show ");
    bmm__text_put(&line, path != NULL ? path : "?");
    bmm__text_put(&line, "'");
    bmm__text_send(&line);
}

uint32_t bmm__error_count(void)
{
    return bmm__load_relaxed(&report_count);
}
