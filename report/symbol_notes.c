/* What the reader of a report should know about missing symbols: which modules, and what helps. */
#include "report/add_snapshot.h"
#include "report/role.h"

#include <string.h>

#define NAMED_MAX 4 /* modules named in a note; the others are counted */

/* Appends the module's file name to a list in the arena. */
static const char *join(struct bmm__report *report, const char *list, uint32_t count, const char *path)
{
    if (count > NAMED_MAX)
        return list;
    return bmm__arena_printf(&report->arena, "%s%s%s", list, count > 1 ? ", " : "",
                             count == NAMED_MAX ? "…" : bmm__base_name(path));
}

/* Modules whose frames are shown: those of leaks and errors, not of what libc keeps. */
static void mark_shown(struct bmm__map *shown, const struct bmm__stack *stack)
{
    const char *last = NULL;
    bool is_new;
    for (uint32_t i = 0; i < stack->count; i++)
        if (i == 0 || stack->frames[i]->module != last)
            bmm__map_put(shown, (uintptr_t)(last = stack->frames[i]->module), 0, 0, &is_new);
}

static bool is_shown(struct bmm__map *shown, const char *path)
{
    bool is_new;
    bmm__map_put(shown, (uintptr_t)path, 0, 0, &is_new);
    return !is_new;
}

void bmm__report_add_symbol_notes(struct bmm__report *report, const struct bmm__symbolizer *symbolizer)
{
    const char *stripped = "", *partial = "";
    uint32_t stripped_count = 0, partial_count = 0;
    struct bmm__map shown = { 0 };
    for (uint32_t i = 0; i < report->leak_count; i++)
        mark_shown(&shown, report->leaks[i].stack);
    for (uint32_t i = 0; i < report->error_count; i++) {
        mark_shown(&shown, report->errors[i].detected);
        mark_shown(&shown, report->errors[i].allocated);
        mark_shown(&shown, report->errors[i].freed);
    }
    for (uint32_t i = 0; i < bmm__symbolizer_module_count(symbolizer); i++) {
        struct bmm__module_news news = bmm__symbolizer_news(symbolizer, i);
        if (!news.is_used || news.path[0] != '/') /* [vdso] and linux-vdso.so.1 have no file */
            continue;
        if (news.state == BMM_FILE_MISSING || news.state == BMM_FILE_OTHER || news.state == BMM_FILE_NO_ELF)
            bmm__report_add_note(
                report, BMM__NO_PROCESS,
                bmm__arena_printf(
                    &report->arena,
                    "%s: %s, so its frames show module and offset only; the same build's file, its -dbgsym "
                    "package or DEBUGINFOD_URLS brings names",
                    news.path,
                    news.state == BMM_FILE_MISSING ? "no such file"
                    : news.state == BMM_FILE_OTHER ? "not the file that ran (its build-id differs)"
                                                   : "not readable as ELF"));
        else if (!news.has_debug_info && bmm__role_of_module(news.path) == BMM_ROLE_PROGRAM &&
                 is_shown(&shown, news.path))
            stripped = join(report, stripped, ++stripped_count, news.path);
        else if (news.is_debug_partial && is_shown(&shown, news.path))
            partial = join(report, partial, ++partial_count, news.path);
    }
    bmm__map_free(&shown);
    if (stripped_count > 0)
        bmm__report_add_note(report, BMM__NO_PROCESS,
                             bmm__arena_printf(&report->arena,
                                               "no lines for %s: compile with -g, or install the -dbgsym package, or "
                                               "set DEBUGINFOD_URLS",
                                               stripped));
    if (partial_count > 0)
        bmm__report_add_note(report, BMM__NO_PROCESS,
                             bmm__arena_printf(&report->arena,
                                               "names of %s may be missing: its debug information is split, and "
                                               "a part of it (.dwo files, or what dwz made) is not where it was",
                                               partial));
}
