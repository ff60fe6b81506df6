/* See exit.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "exit.h"

#include "check.h"
#include "claim.h"
#include "error.h"
#include "expect.h"
#include "options.h"
#include "process.h"
#include "recorder_place.h"
#include "sandbox.h"
#include "thread.h"
#include "type.h"

#include "core/os.h"
#include "core/text.h"

#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

/* Not every libc has them; what is missing is NULL. */
extern int on_exit(/* NOLINT(readability-redundant-declaration): weak */
                   void (*function)(int status, void *argument), void *argument) __attribute__((weak));
extern int __cxa_atexit(void (*function)(void *argument), void *argument, void *module) __attribute__((weak));

static uint32_t has_run; /* X1; private, copied by fork: 0 in a child of a process that is not exiting */
static bool is_started;
static int exit_status = -1; /* -1: not known */
/* Of the module that this is linked into; the linker's. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((weak, visibility("hidden"))); /* NOLINT: its name */

/* Who looks for the files that were asked for is told that one is not there. */
static void say_where(bool is_written)
{
    bmm__error_say_where(bmm__options.report_count != 0 && !is_written ? "not every report was written" : "report");
}

/* brainmm report --snapshot FILE [--quiet] [--contents] [--report OUT]…; it removes the file when all is written.
 * Whatever was started instead, or went wrong: as long as the file is there, that is where to look. */
static void make_report(const char *path)
{
    static char own_paths[BMM__OPTIONS_REPORTS_MAX][PATH_MAX];
    const char *arguments[7 + 2 * BMM__OPTIONS_REPORTS_MAX];
    unsigned count = 0;
    arguments[count++] = "brainmm";
    arguments[count++] = "report";
    arguments[count++] = "--snapshot";
    arguments[count++] = path;
    if (!bmm__options.wants_summary)
        arguments[count++] = "--quiet";
    if (bmm__options.wants_contents)
        arguments[count++] = "--contents";
    bool is_named = true;
    for (unsigned i = 0; i < bmm__options.report_count; i++) {
        arguments[count++] = "--report";
        arguments[count++] = bmm__claim_path(bmm__options.reports[i], own_paths[i], PATH_MAX);
        is_named &= arguments[count - 1] != NULL;
    }
    arguments[count] = NULL;
    const char *viewer = bmm__viewer_path();
    int status = viewer != NULL && is_named ? bmm__os_run_and_wait(viewer, arguments) : -1;
    if (status != 0 || bmm__os_is_file(path))
        say_where(status == 0);
}

static void say_no_recorder(void)
{
    struct bmm__text line;
    bmm__text_begin(&line);
    bmm__text_put(&line, "no report: no directory could take the recorder file (option 'dir')");
    bmm__text_send(&line);
}

/* The manager reads what lies in the directory it named; without one, nobody does. */
static void leave_to_manager(const char *path)
{
    if (bmm__options.directory == NULL && path != NULL && !bmm__sandbox_is_closed())
        bmm__os_file_remove(path);
}

/* It makes no report; and without a file of its own it has said its errors at once. */
static void end_forked_child(const char *path)
{
    if (path == NULL || bmm__error_count() == 0)
        return;
    bmm__os_error_restore();
    bmm__error_say_where("report");
}

static void report(void)
{
    const char *path = bmm__recorder_path();
    if (bmm__options.is_managed) {
        leave_to_manager(path);
        return;
    }
    if (bmm__process_is_forked()) {
        end_forked_child(path);
        return;
    }
    bool is_wanted = bmm__options.wants_summary || bmm__options.report_count != 0;
    if (bmm__sandbox_is_closed()) { /* no other process may be started, and no file touched */
        if (is_wanted && path != NULL)
            say_where(false);
        return;
    }
    bmm__os_error_restore();
    if (is_wanted && path == NULL)
        say_no_recorder();
    else if (is_wanted)
        make_report(path);
    else if (path != NULL && bmm__options.directory == NULL)
        bmm__os_file_remove(path);
}

/* The manager may read what is there while the rest is done: what it reads then, it reads again at the end. */
static void announce(void)
{
    if (!bmm__options.is_managed || !bmm__recorder_is_open() || bmm__sandbox_is_closed())
        return;
    struct bmm_snapshot_header *header = bmm__recorder_header();
    bmm__store_release(&header->is_exiting, 1u);
    bmm__os_wake_shared(&header->is_exiting);
}

static void note_skipped(size_t count)
{
    struct bmm__text note = { 0 };
    bmm__text_put_decimal(&note, count);
    bmm__text_put(&note, count == 1 ? " block was" : " blocks were");
    bmm__text_put(&note,
                  " not verified: a signal handler ended the program, or a thread stands still, in the midst of an "
                  "allocation or a free");
    struct bmm_snapshot_chunk *entry;
    char *place = bmm__recorder_chunk(BMM_CHUNK_NOTES, note.used + 1, 0, &entry);
    if (place == NULL)
        return;
    memcpy(place, note.data, note.used);
    bmm__store_release(&entry->used, (uint64_t)note.used + 1);
}

static void run(void)
{
    if (bmm__options.mode == BMM_MODE_OFF || bmm__exchange_acq_rel(&has_run, 1u) != 0)
        return;
    announce();
    size_t skipped;
    bmm__check_all(BMM_MOMENT_EXIT, &skipped);
    bmm__thread_each(bmm__expect_end_scope);
    if (bmm__load_acquire(&bmm__recorder_process->state) == BMM__RECORDER_UNSETTLED)
        return; /* a forked child that recorded nothing: what is mapped is its parent's */
    if (skipped > 0)
        note_skipped(skipped);
    if (bmm__options.is_managed && !bmm__recorder_may_place())
        bmm__recorder_flag(BMM_SNAPSHOT_MOVED);
    bmm__type_count_all();
    struct bmm_snapshot_header *header = bmm__recorder_header();
    uint64_t alloc_count, free_count;
    bmm__thread_counts(&alloc_count, &free_count);
    bmm__store_relaxed(&header->alloc_count, alloc_count);
    bmm__store_relaxed(&header->free_count, free_count);
    bmm__store_relaxed(&header->exit_status, exit_status);
    bmm__store_relaxed(&header->exit_unix_ns, bmm__os_clock_real_ns());
    bmm__store_release(&header->state, (uint32_t)BMM_SNAPSHOT_EXITED); /* last: all of the above is there */
    report();
}

/* X3 */
static bool is_part_of_program(void)
{
    uint32_t count;
    return &__ehdr_start != NULL &&
           (const char *)&__ehdr_start + __ehdr_start.e_phoff == bmm__os_program_headers(&count);
}

/* What was registered with libc. */
static void run_registered(void)
{
    if (!is_part_of_program())
        run();
}

static void run_with_status(int status, void *argument)
{
    (void)argument;
    exit_status = status;
    run_registered();
}

static void run_without_status(void *argument)
{
    (void)argument;
    run_registered();
}

/* Of all of a program's destructors the last, as 100 and below are the compiler's. In a library it does nothing. */
__attribute__((destructor(101))) static void run_as_destructor(void)
{
    if (is_started && is_part_of_program())
        run();
}

void bmm__exit_fork_child(void)
{
    bmm__os_error_forget();
}

void bmm__exit_start(void)
{
    is_started = true;
    if (!bmm__options.is_managed && bmm__options.wants_summary)
        bmm__os_error_keep();
    /* No module handle: the entry must not run when this library's own destructors do, that is before others'. */
    if (on_exit != NULL && on_exit(run_with_status, NULL) == 0)
        return;
    if (__cxa_atexit != NULL && __cxa_atexit(run_without_status, NULL, NULL) == 0)
        return;
    atexit(run_registered);
}
