#include "viewer/open.h"

#include "report/add_snapshot.h"
#include "report/load.h"
#include "viewer/message.h"

struct bmm__report *bmm__open_operands(const struct bmm__args *args)
{
    if (args->operand_count == 0) {
        bmm__say("%s needs a file (see brainmm help %s)", args->verb->name, args->verb->name);
        return NULL;
    }
    struct bmm__report *report = bmm__report_make();
    struct bmm__symbolizer *symbolizer = bmm__symbolizer_make(&report->strings);
    struct bmm__why why;
    bool is_read = true;
    for (int i = 0; i < args->operand_count && is_read; i++)
        is_read = bmm__report_load(report, symbolizer, args->operands[i], &why);
    if (is_read) {
        bmm__report_finish(report);
        bmm__report_add_symbol_notes(report, symbolizer);
    } else {
        bmm__say("%s", why.text);
    }
    bmm__symbolizer_free(symbolizer);
    if (is_read)
        return report;
    bmm__report_free(report);
    return NULL;
}
