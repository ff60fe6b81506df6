/* brainmm report: what the debug library starts at the end of a program that runs without `brainmm run`. The snapshot
 * goes when all is told; while it is there, the library says where. */
#include "report/add_snapshot.h"
#include "report/output.h"
#include "viewer/message.h"
#include "viewer/summary.h"
#include "viewer/verbs.h"

#include <signal.h>
#include <unistd.h>

static int report_process(const struct bmm__args *args)
{
    const char *snapshot = bmm__args_value(args, "--snapshot");
    const char *const *paths;
    unsigned path_count = bmm__args_values(args, "--report", &paths);
    if (snapshot == NULL || args->operand_count > 0)
        return bmm__refuse("report needs --snapshot FILE, and takes no other operand");
    bool is_contents = bmm__args_value(args, "--contents") != NULL;
    signal(SIGPIPE, SIG_IGN); /* nobody may read our stderr any more; the reports are to be written all the same */
    struct bmm__report *report = bmm__report_make();
    struct bmm__symbolizer *symbolizer = bmm__symbolizer_make(&report->strings);
    struct bmm__why why;
    int status = BMM_STATUS_GOOD;
    /* The process waits in its exit hook: it is there, but has nothing more to say. */
    if (!bmm__report_add_snapshot(report, symbolizer, snapshot, &(struct bmm__process_facts){ 0 }, &why)) {
        status = bmm__refuse("%s", why.text);
    } else {
        bmm__report_finish(report);
        bmm__report_add_symbol_notes(report, symbolizer);
        bool is_quiet = bmm__args_value(args, "--quiet") != NULL;
        if (!is_quiet)
            bmm__summary(report, stderr, false, is_contents);
        bool is_told = is_quiet || path_count > 0 || !ferror(stderr);
        for (unsigned i = 0; i < path_count; i++)
            if (!bmm__output_check(paths[i], &why) ||
                !bmm__output_write(report, bmm__format_of_path(paths[i]), paths[i], is_contents, &why))
                status = bmm__refuse("%s", why.text);
        if (!is_told)
            status = bmm__refuse("cannot write to standard error");
        if (status == BMM_STATUS_GOOD)
            unlink(snapshot);
    }
    bmm__symbolizer_free(symbolizer);
    bmm__report_free(report);
    return status;
}

static const struct bmm__option options[] = {
    { "--snapshot", 0, "FILE", NULL, false, "the snapshot of the process; removed when all is written" },
    { "--report", 0, "FILE", NULL, true, "also write a report: .json, .db or .txt (repeatable)" },
    { "--contents", 0, NULL, NULL, false, "changed bytes as text, too: data of the program" },
    { "--quiet", 0, NULL, NULL, false, "no summary on standard error" },
};

const struct bmm__verb bmm__verb_report = {
    .name = "report",
    .operands = "",
    .summary = "Makes the report of one process that has just ended; started by the debug library itself.",
    .is_hidden = true,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = report_process,
};
