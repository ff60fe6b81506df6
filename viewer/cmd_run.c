/* brainmm run: a program under the debug library, its report, and the exit status that a gate can use. */
#define _GNU_SOURCE
#include "report/output.h"
#include "viewer/absent.h"
#include "viewer/child.h"
#include "viewer/collect.h"
#include "viewer/library.h"
#include "viewer/message.h"
#include "viewer/place.h"
#include "viewer/program.h"
#include "viewer/summary.h"
#include "viewer/survivors.h"
#include "viewer/verbs.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct request {
    const char *mode, *fail_on, *on_error;
    bool is_contents, is_quiet, is_all;
    const char *const *reports;
    unsigned report_count;
    char **command;
};

static const char *value_or(const struct bmm__args *args, const char *name, const char *otherwise)
{
    const char *value = bmm__args_value(args, name);
    return value != NULL ? value : otherwise;
}

/* LD_PRELOAD separates by blanks and colons: a library whose path has one is reached through a link. */
static bool preloadable(char *library, const struct bmm__place *place)
{
    if (strpbrk(library, " \t:") == NULL)
        return true;
    char link[PATH_MAX];
    if (snprintf(link, sizeof link, "%s/libbrainmm_debug.so", place->path) >= PATH_MAX || symlink(library, link) != 0)
        return false;
    strcpy(library, link);
    return strpbrk(library, " \t:") == NULL;
}

/* Sets NAME to front, separator and what it was, or the other way round. */
static bool set_joined(const char *name, const char *ours, char separator, bool is_front)
{
    const char *theirs = getenv(name);
    if (theirs == NULL || theirs[0] == 0)
        return setenv(name, ours, 1) == 0;
    char *joined;
    if (asprintf(&joined, "%s%c%s", is_front ? ours : theirs, separator, is_front ? theirs : ours) < 0)
        return false;
    bool is_set = setenv(name, joined, 1) == 0;
    free(joined);
    return is_set;
}

static bool set_environment(const struct request *request, char *library, const struct bmm__place *place,
                            struct bmm__why *why)
{
    if (!preloadable(library, place))
        return bmm__fail(why, "the path of %s cannot be preloaded", library);
    char options[PATH_MAX + 128];
    snprintf(options, sizeof options, "mode=%s,dir=%s,report=none,on_error=%s%s", request->mode, place->path,
             request->on_error, request->is_contents ? ",contents=on" : "");
    return (set_joined("LD_PRELOAD", library, ':', true) && set_joined("BRAINMM_OPTIONS", options, ',', false)) ||
           bmm__fail(why, "out of memory");
}

/* True if every report is written; what could not be is said. */
static bool write_reports(const struct bmm__report *report, const struct request *request)
{
    bool is_written = true;
    for (unsigned i = 0; i < request->report_count; i++) {
        struct bmm__why why;
        if (!bmm__output_write(report, bmm__format_of_path(request->reports[i]), request->reports[i],
                               request->is_contents, &why)) {
            bmm__say("%s", why.text);
            is_written = false;
        }
    }
    return is_written;
}

/* Nothing runs. What a report of the same name says of an earlier run must not be taken for this one. */
static int refuse(const struct request *request, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int refuse(const struct request *request, const char *format, ...)
{
    char reason[640];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    signal(SIGPIPE, SIG_IGN); /* that is done also where it cannot be said */
    signal(SIGXFSZ, SIG_IGN);
    bmm__say("cannot check %s: %s", request->command[0], reason);
    struct bmm__report *report = bmm__absent_report(
        &(struct bmm__absent){ .state = "refused", .mode = request->mode, .command = request->command }, reason);
    struct request good = *request;
    const char *paths[BMM__OPTION_VALUES_MAX];
    struct bmm__why why;
    good.reports = paths;
    good.report_count = 0;
    for (unsigned i = 0; i < request->report_count; i++)
        if (bmm__output_check(request->reports[i], &why))
            paths[good.report_count++] = request->reports[i];
    write_reports(report, &good);
    bmm__report_free(report);
    return BMM_STATUS_NOT_RUN;
}

/* Leaks change the exit status of a program that ended well. */
static bool is_gated_leak(const struct bmm__report *report, const struct request *request,
                          const struct bmm__child *child)
{
    bool is_own_good = WIFEXITED(child->wait_status) && WEXITSTATUS(child->wait_status) == 0;
    return is_own_good && strcmp(request->fail_on, "leak") == 0 && report->leaked_blocks > 0;
}

/* Ends as the program did, or says what was found: see the man page's EXIT STATUS. */
static int verdict(const struct bmm__report *report, const struct request *request, const struct bmm__child *child)
{
    bool is_gated = strcmp(request->fail_on, "none") != 0;
    if (is_gated && report->error_count > 0)
        return BMM_STATUS_CORRUPTION;
    if (is_gated && (!report->check.ran || report->check.is_incomplete))
        return BMM_STATUS_NOT_RUN;
    if (is_gated_leak(report, request, child))
        return BMM_STATUS_LEAKS;
    bmm__child_end_like(child);
}

static uint32_t *awaits(void *collection)
{
    return bmm__collection_awaits(collection);
}

static void meanwhile(void *collection, pid_t child)
{
    bmm__collection_prepare(collection, child);
    bmm__collection_read_ahead(collection, child);
    bmm__collection_thin(collection, child, BMM__COLLECT_KEPT);
}

#define IS_KEPT "what was recorded is kept"
#define REST_IS_KEPT "what was recorded of the last processes is kept"

/* The reports could not be written; what can still be had? */
static int keep(const struct bmm__report *report, const struct bmm__place *place, bool is_thinned, bool has_contents)
{
    char path[PATH_MAX];
    struct bmm__why why;
    if (!is_thinned)
        return bmm__refuse(IS_KEPT ": brainmm show %s/*.bmm", place->path);
    if (snprintf(path, sizeof path, "%s/report.json", place->path) < PATH_MAX &&
        bmm__output_write(report, bmm__format_of_path(path), path, has_contents, &why))
        return bmm__refuse(IS_KEPT ": brainmm show %s", path);
    return bmm__refuse(REST_IS_KEPT ": brainmm show %s/*.bmm", place->path);
}

/* Whose leaks they are, where not the program's own alone. */
static void say_leaked(const struct bmm__report *report, const struct request *request)
{
    uint64_t own_bytes = 0;
    for (uint32_t i = 0; i < report->leak_count; i++)
        own_bytes += report->leaks[i].process == 0 ? report->leaks[i].bytes : 0;
    char children[64] = "";
    if (own_bytes != report->leaked_bytes)
        snprintf(children, sizeof children, ", %llu bytes of them by its children",
                 (unsigned long long)(report->leaked_bytes - own_bytes));
    bmm__say("%s: %llu bytes leaked in %llu blocks%s", request->command[0], (unsigned long long)report->leaked_bytes,
             (unsigned long long)report->leaked_blocks, children);
}

/* Whoever ends us before all is written finds what the program left. */
static void leave_word(const struct bmm__place *place, bool is_thinned)
{
    static char words[PATH_MAX + 128];
    if (snprintf(words, sizeof words, "brainmm: ended before the report: %s: brainmm show %s/*.bmm\n",
                 is_thinned ? REST_IS_KEPT : IS_KEPT, place->path) < (int)sizeof words)
        bmm__child_last_words(words);
}

static int run_in(const struct request *request, const struct bmm__place *place, const char *path,
                  struct bmm__child *child)
{
    struct bmm__why why;
    struct bmm__collection *collection = bmm__collection_make(place->path);
    leave_word(place, true);
    if (!bmm__child_run(child, path, request->command, environ,
                        &(struct bmm__meanwhile){ meanwhile, awaits, collection }, &why)) {
        bmm__child_last_words(NULL);
        bmm__place_remove(place);
        return refuse(request, "%s", why.text);
    }
    signal(SIGPIPE, SIG_IGN); /* nobody may read our stderr any more; the reports are to be written all the same */
    signal(SIGXFSZ, SIG_IGN); /* a report that is too large is told of; only now, for the program inherits it */
    bool is_thinned = bmm__collection_is_thinned(collection);
    leave_word(place, is_thinned);
    struct bmm__survivors survivors = bmm__survivors_find(place->path);
    struct bmm__report *report =
        bmm__collection_finish(collection, &(struct bmm__run_facts){ .main_pid = child->pid,
                                                                     .main_wait_status = child->wait_status,
                                                                     .mode = request->mode,
                                                                     .command = request->command });
    bmm__survivors_note(report, &survivors);
    bmm__survivors_free(&survivors);
    bool is_written = write_reports(report, request); /* first: whoever reads the summary may take his time */
    if (!request->is_quiet || report->error_count > 0 || !report->check.ran)
        bmm__summary(report, stderr, request->is_all, request->is_contents);
    else if (report->check.is_incomplete)
        bmm__say("%s: the check is incomplete: %s", request->command[0], report->check.reason);
    else if (is_gated_leak(report, request, child))
        say_leaked(report, request);
    if (!is_written) {
        int status = keep(report, place, is_thinned, request->is_contents);
        bool is_corrupted = strcmp(request->fail_on, "none") != 0 && report->error_count > 0;
        bmm__report_free(report);
        return is_corrupted ? BMM_STATUS_CORRUPTION : status;
    }
    bmm__child_last_words(NULL);
    bmm__place_remove(place);
    return verdict(report, request, child); /* the report is given back with the process */
}

static int run(const struct bmm__args *args)
{
    struct request request = { .mode = value_or(args, "--mode", "check"),
                               .fail_on = value_or(args, "--fail-on", "corruption"),
                               .on_error = value_or(args, "--on-error", "continue"),
                               .is_contents = bmm__args_value(args, "--contents") != NULL,
                               .is_quiet = bmm__args_value(args, "--quiet") != NULL,
                               .is_all = bmm__args_value(args, "--all") != NULL,
                               .command = args->operands };
    request.report_count = bmm__args_values(args, "--report", &request.reports);
    if (args->operand_count == 0)
        return bmm__refuse("run needs a program (see brainmm help run)");
    struct bmm__why why;
    for (unsigned i = 0; i < request.report_count; i++)
        if (!bmm__output_check(request.reports[i], &why))
            return refuse(&request, "%s", why.text);
    static struct bmm__program program;
    static struct bmm__place place;
    static char library[PATH_MAX];
    static struct bmm__child child;
    if (!bmm__program_find(&program, request.command[0], &why))
        return refuse(&request, "%s", why.text);
    if (!bmm__library_find(library, &why) || !bmm__place_make(&place, &why))
        return refuse(&request, "%s", why.text);
    if (!set_environment(&request, library, &place, &why)) {
        bmm__place_remove(&place);
        return refuse(&request, "%s", why.text);
    }
    return run_in(&request, &place, program.path, &child);
}

static const struct bmm__option options[] = {
    { "--mode", 0, "MODE", "leak|check", false, "what to look for (default: check)" },
    { "--report", 0, "FILE", NULL, true, "also write a report: .json, .db or .txt (repeatable)" },
    { "--fail-on", 0, "WHAT", "corruption|leak|none", false, "what changes the exit status (default: corruption)" },
    { "--on-error", 0, "WHAT", "continue|stop", false,
      "whether the program goes on after an error (default: continue)" },
    { "--all", 0, NULL, NULL, false, "every leak, error and frame in the summary, not only the first" },
    { "--contents", 0, NULL, NULL, false, "changed bytes as text, too: data of the program" },
    { "--quiet", 0, NULL, NULL, false,
      "no summary unless there are errors or the check did not run; one line if it is incomplete, or leaks fail it" },
};

const struct bmm__verb bmm__verb_run = {
    .name = "run",
    .operands = "[--] PROGRAM [ARGUMENT]…",
    .summary = "Runs PROGRAM and its children under the debug library and reports what they leaked and corrupted.",
    .takes_program = true,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = run,
};
