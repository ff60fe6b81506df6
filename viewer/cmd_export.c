/* brainmm export FILE: one format of report into another. */
#include "report/output.h"
#include "report/write_json.h"
#include "report/write_text.h"
#include "viewer/message.h"
#include "viewer/open.h"
#include "viewer/verbs.h"

#include <string.h>

static int write_to_stdout(const struct bmm__report *report, enum bmm__format format, bool is_contents)
{
    if (format == BMM_FORMAT_SQLITE)
        return bmm__refuse("a database cannot go to standard output: name a file with -o");
    if (format == BMM_FORMAT_JSON)
        bmm__write_json(report, stdout);
    else
        bmm__write_text(report, stdout, &(struct bmm__text_options){ .is_contents = is_contents });
    return fflush(stdout) == 0 && !ferror(stdout) ? BMM_STATUS_GOOD : bmm__refuse("cannot write to standard output");
}

static int export_report(const struct bmm__args *args)
{
    const char *word = bmm__args_value(args, "--format"), *out = bmm__args_value(args, "--output");
    bool is_contents = bmm__args_value(args, "--contents") != NULL;
    if (out != NULL && strcmp(out, "-") == 0)
        out = NULL;
    enum bmm__format format = word != NULL  ? bmm__format_of_word(word)
                              : out != NULL ? bmm__format_of_path(out)
                                            : BMM_FORMAT_NONE;
    if (format == BMM_FORMAT_NONE)
        return bmm__refuse("export needs --format json|sqlite|text, or -o with a name that ends in .json, .db or .txt");
    if (format == BMM_FORMAT_SQLITE && out == NULL)
        return write_to_stdout(NULL, format, false);

    bool is_all;
    struct bmm__report *report = bmm__open_operands(args, &is_all);
    if (report == NULL)
        return BMM_STATUS_NOT_RUN;
    struct bmm__why why;
    int status = BMM_STATUS_GOOD;
    if (out == NULL)
        status = write_to_stdout(report, format, is_contents);
    else if (!bmm__output_write(report, format, out, is_contents, &why))
        status = bmm__refuse("%s", why.text);
    bmm__report_free(report);
    return status == BMM_STATUS_GOOD && !is_all ? BMM_STATUS_NOT_RUN : status;
}

static const struct bmm__option options[] = {
    { "--format", 0, "FORMAT", "json|sqlite|text", false, "what to write" },
    { "--output", 'o', "FILE", NULL, false, "where to; standard output if not given, or -" },
    { "--contents", 0, NULL, NULL, false, "changed bytes as text, too (format text): data of the program" },
};

const struct bmm__verb bmm__verb_export = {
    .name = "export",
    .operands = "FILE…",
    .summary = "Writes snapshots (.bmm) and reports (.db, .json) in another format.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = export_report,
};
