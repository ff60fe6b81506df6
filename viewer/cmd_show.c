/* brainmm show FILE…: a snapshot or report as text. */
#include "viewer/message.h"
#include "viewer/open.h"
#include "viewer/summary.h"
#include "viewer/verbs.h"

static int show(const struct bmm__args *args)
{
    bool is_all;
    struct bmm__report *report = bmm__open_operands(args, &is_all);
    if (report == NULL)
        return BMM_STATUS_NOT_RUN;
    bmm__summary(report, stdout, bmm__args_value(args, "--all") != NULL, bmm__args_value(args, "--contents") != NULL);
    bmm__report_free(report);
    if (ferror(stdout))
        return bmm__refuse("cannot write to standard output");
    return is_all ? BMM_STATUS_GOOD : BMM_STATUS_NOT_RUN;
}

static const struct bmm__option options[] = {
    { "--all", 0, NULL, NULL, false, "every leak, error and frame, not only the first" },
    { "--contents", 0, NULL, NULL, false, "changed bytes as text, too: data of the program" },
};

const struct bmm__verb bmm__verb_show = {
    .name = "show",
    .operands = "FILE…",
    .summary = "Shows snapshots (.bmm) and reports (.db, .json) as text; several files become one report.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = show,
};
