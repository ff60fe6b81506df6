/* What the reader of a report should know about missing symbols: which modules, and what helps. */
#include "report/add_snapshot.h"
#include "report/role.h"

#include <stdlib.h>
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

/* Which of the modules that were asked for have frames that are shown: in leaks and errors, not in what libc keeps. */
struct shown {
    struct bmm__map asked, found; /* paths */
    uint32_t left;                /* asked for and not found yet */
};

static void ask(struct shown *shown, const char *path)
{
    bool is_new;
    bmm__map_put(&shown->asked, (uintptr_t)path, 0, 1, &is_new);
    shown->left += is_new;
}

static void look_at(struct shown *shown, const struct bmm__stack *stack)
{
    const char *last = NULL;
    bool is_new;
    for (uint32_t i = 0; shown->left > 0 && i < stack->count; i++) {
        const char *path = stack->frames[i]->module;
        if (path == last)
            continue;
        last = path;
        if (bmm__map_put(&shown->asked, (uintptr_t)path, 0, 0, &is_new) == 0)
            continue;
        bmm__map_put(&shown->found, (uintptr_t)path, 0, 1, &is_new);
        shown->left -= is_new;
    }
}

static void look_at_all(struct shown *shown, const struct bmm__report *report)
{
    for (uint32_t i = 0; shown->left > 0 && i < report->leak_count; i++)
        look_at(shown, report->leaks[i].stack);
    for (uint32_t i = 0; i < report->error_count; i++) {
        look_at(shown, report->errors[i].detected);
        look_at(shown, report->errors[i].allocated);
        look_at(shown, report->errors[i].freed);
    }
}

static bool is_shown(struct shown *shown, const char *path)
{
    bool is_new;
    return bmm__map_put(&shown->found, (uintptr_t)path, 0, 0, &is_new) == 1;
}

/* Whether a module that was used has a file at all: [vdso] and linux-vdso.so.1 have none. */
static bool is_to_be_named(const struct bmm__module_news *news)
{
    return news->is_used && news->path[0] == '/';
}

static bool has_no_symbols(const struct bmm__module_news *news)
{
    return news->state == BMM_FILE_MISSING || news->state == BMM_FILE_OTHER || news->state == BMM_FILE_NO_ELF;
}

static bool is_stripped(const struct bmm__module_news *news)
{
    return !news->has_debug_info && bmm__role_of_module(news->path) == BMM_ROLE_PROGRAM;
}

static const char *servers(void)
{
    return bmm__module_file_asks_servers() ? "other servers than those of DEBUGINFOD_URLS" : "DEBUGINFOD_URLS";
}

static int by_path(const void *left, const void *right)
{
    const struct bmm__module_news *a = left, *b = right;
    return strcmp(a->path, b->path);
}

/* In an order that does not depend on when which was looked at first. Freed by the caller. */
static struct bmm__module_news *all_news(const struct bmm__symbolizer *symbolizer, uint32_t count)
{
    struct bmm__module_news *news = bmm__must_zero(count, sizeof *news);
    for (uint32_t i = 0; i < count; i++)
        news[i] = bmm__symbolizer_news(symbolizer, i);
    if (count > 1)
        qsort(news, count, sizeof *news, by_path);
    return news;
}

void bmm__report_add_symbol_notes(struct bmm__report *report, const struct bmm__symbolizer *symbolizer)
{
    const char *stripped = "", *partial = "";
    uint32_t stripped_count = 0, partial_count = 0;
    struct shown shown = { 0 };
    uint32_t module_count = bmm__symbolizer_module_count(symbolizer);
    struct bmm__module_news *all = all_news(symbolizer, module_count);
    for (uint32_t i = 0; i < module_count; i++) {
        struct bmm__module_news news = all[i];
        if (is_to_be_named(&news) && (has_no_symbols(&news) || is_stripped(&news) || news.is_debug_partial))
            ask(&shown, news.path);
    }
    look_at_all(&shown, report);
    for (uint32_t i = 0; i < module_count; i++) {
        struct bmm__module_news news = all[i];
        if (!is_to_be_named(&news) || !is_shown(&shown, news.path)) /* used for what was freed later, say */
            continue;
        if (has_no_symbols(&news))
            bmm__report_add_note(
                report, BMM__NO_PROCESS,
                bmm__arena_printf(
                    &report->arena,
                    "%s: %s, so its frames show module and offset only; the same build's file, its -dbgsym "
                    "package or %s brings names",
                    news.path,
                    news.state == BMM_FILE_MISSING ? "no such file"
                    : news.state == BMM_FILE_OTHER ? "not the file that ran (its build-id differs, or its headers)"
                                                   : "not readable as ELF",
                    servers()));
        else if (is_stripped(&news))
            stripped = join(report, stripped, ++stripped_count, news.path);
        else if (news.is_debug_partial)
            partial = join(report, partial, ++partial_count, news.path);
    }
    free(all);
    bmm__map_free(&shown.asked);
    bmm__map_free(&shown.found);
    if (stripped_count > 0)
        bmm__report_add_note(report, BMM__NO_PROCESS,
                             bmm__arena_printf(&report->arena,
                                               "no lines for %s: compile with -g, or install the -dbgsym package, or "
                                               "%s%s",
                                               stripped, bmm__module_file_asks_servers() ? "name " : "set ",
                                               servers()));
    if (partial_count > 0)
        bmm__report_add_note(report, BMM__NO_PROCESS,
                             bmm__arena_printf(&report->arena,
                                               "names of %s may be missing: its debug information is split, and "
                                               "a part of it (.dwo files, or what dwz made) is not where it was; .dwp "
                                               "files are not read",
                                               partial));
}
