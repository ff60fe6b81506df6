#include "viewer/open.h"

#include "report/add_snapshot.h"
#include "report/load.h"
#include "viewer/message.h"

#include <stdlib.h>
#include <string.h>

/* The files that are not bad, as one report. NULL: one of them could not be read; it is bad now. */
static struct bmm__report *open_good(const struct bmm__args *args, bool *is_bad)
{
    struct bmm__report *report = bmm__report_make();
    struct bmm__symbolizer *symbolizer = bmm__symbolizer_make(&report->strings);
    struct bmm__why why;
    bool is_read = true;
    for (int i = 0; i < args->operand_count && is_read; i++)
        if (!is_bad[i]) {
            is_read = bmm__report_load(report, symbolizer, args->operands[i], &why);
            is_bad[i] = !is_read;
        }
    if (is_read) {
        bmm__report_finish(report);
        bmm__report_add_symbol_notes(report, symbolizer);
    } else {
        bmm__say("%s", why.text);
        bmm__report_free(report);
    }
    bmm__symbolizer_free(symbolizer);
    return is_read ? report : NULL;
}

static bool has_good_input(const struct bmm__args *args, const bool *is_bad)
{
    for (int i = 0; i < args->operand_count; i++)
        if (strcmp(args->operands[i], "-") == 0 && !is_bad[i])
            return true;
    return false;
}

struct bmm__report *bmm__open_operands(const struct bmm__args *args, bool *is_all)
{
    *is_all = true;
    if (args->operand_count == 0) {
        bmm__say("%s needs a file (see brainmm help %s)", args->verb->name, args->verb->name);
        return NULL;
    }
    bool *is_bad = calloc((size_t)args->operand_count, sizeof *is_bad);
    struct bmm__report *report = NULL;
    for (int good = is_bad != NULL ? args->operand_count : 0; good > 0 && report == NULL; good--) {
        report = open_good(args, is_bad); /* a part of a file that fails is in the report: so it is made anew */
        *is_all = *is_all && report != NULL;
        if (report == NULL && has_good_input(args, is_bad))
            break; /* it was read, and cannot be again */
    }
    free(is_bad);
    return report;
}
