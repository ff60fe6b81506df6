#define _GNU_SOURCE
#include "viewer/collect.h"

#include "report/add_snapshot.h"
#include "report/process_alive.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* brainmm.<pid>.<start>.<n>.bmm */
struct found {
    uint64_t pid, start;
    uint32_t count;
    bool is_main; /* of the main pid; the last of them is the program that ended */
    char path[PATH_MAX];
};

struct list {
    struct found *items;
    uint32_t count, capacity;
};

static void find_snapshots(struct list *list, const struct bmm__collect *run)
{
    DIR *directory = opendir(run->directory);
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        unsigned long long pid, start;
        unsigned count;
        int end = 0;
        if (sscanf(entry->d_name, "brainmm.%llu.%llu.%u.bmm%n", &pid, &start, &count, &end) != 3 || end == 0 ||
            entry->d_name[end] != 0)
            continue;
        list->items = bmm__grow(list->items, &list->capacity, (size_t)list->count + 1, sizeof *list->items);
        struct found *found = &list->items[list->count];
        *found =
            (struct found){ .pid = pid, .start = start, .count = count, .is_main = pid == (uint64_t)run->main_pid };
        if (snprintf(found->path, sizeof found->path, "%s/%s", run->directory, entry->d_name) < PATH_MAX)
            list->count++;
    }
    if (directory != NULL)
        closedir(directory);
}

/* The main program first, its last image before those it came from; then the others by birth. */
static int by_rank(const void *left, const void *right)
{
    const struct found *a = left, *b = right;
    if (a->is_main != b->is_main)
        return a->is_main ? -1 : 1;
    if (a->start != b->start)
        return (a->start < b->start) != a->is_main ? -1 : 1;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    return (a->count < b->count) != a->is_main ? -1 : a->count != b->count;
}

/* A process that became another program, of which there is no snapshot, was not checked to its end. */
static void note_lost_images(struct bmm__report *report, const struct list *list)
{
    for (uint32_t i = 0; i < report->process_count; i++) {
        const struct bmm__process *process = &report->processes[i];
        if (strcmp(process->state, "execed") != 0)
            continue;
        bool is_followed = false, is_known = false;
        for (uint32_t k = 0; k < list->count; k++)
            is_followed |= list->items[k].pid == process->pid && list->items[k].count > process->exec_count;
        for (uint32_t k = 0; k < report->unchecked_count; k++)
            is_known |= report->unchecked[k].process == i && report->unchecked[k].pid == process->pid;
        if (!is_followed && !is_known)
            *bmm__report_add_unchecked(report) =
                (struct bmm__unchecked){ i, process->pid, bmm__intern(&report->strings, ""),
                                         bmm__intern(&report->strings, "became a program that left no record") };
    }
}

/* Why the program that ended under the main pid was not checked; NULL: it was. */
static const char *reason_of(const struct bmm__report *report, const struct bmm__collect *run)
{
    if (strcmp(report->processes[0].state, "execed") == 0) {
        for (uint32_t i = 0; i < report->unchecked_count; i++)
            if (report->unchecked[i].process == 0 && report->unchecked[i].reason[0] != 0 &&
                report->unchecked[i].pid == (uint32_t)run->main_pid)
                return report->unchecked[i].reason;
        return "the program became another one, which left no record";
    }
    return report->processes[0].check.reason;
}

static void add_missing_main(struct bmm__report *report, const struct bmm__collect *run)
{
    struct bmm__process *process = bmm__report_add_process(report);
    process->pid = (uint32_t)run->main_pid;
    process->state = bmm__intern(&report->strings, "ended");
    process->check.mode = bmm__intern(&report->strings, run->mode);
    while (run->command[process->command_count] != NULL)
        process->command_count++;
    process->command = bmm__arena_alloc(&report->arena, process->command_count * sizeof *process->command);
    for (uint32_t i = 0; i < process->command_count; i++)
        process->command[i] = bmm__intern(&report->strings, run->command[i]);
}

struct bmm__report *bmm__collect(const struct bmm__collect *run)
{
    struct bmm__report *report = bmm__report_make();
    struct bmm__symbolizer *symbolizer = bmm__symbolizer_make(&report->strings);
    struct list list = { 0 };
    const char *missing = NULL; /* why process 0 was made up here */
    find_snapshots(&list, run);
    if (list.count > 0)
        qsort(list.items, list.count, sizeof *list.items, by_rank);
    if (list.count == 0 || !list.items[0].is_main) {
        missing = "the program left no record: the debug library did not come into it";
        add_missing_main(report, run);
    }
    for (uint32_t i = 0; i < list.count; i++) {
        struct bmm__why why;
        bool is_first = list.items[i].is_main && i == 0;
        struct bmm__process_facts facts = { .is_running =
                                                !list.items[i].is_main && bmm__snapshot_is_alive(list.items[i].path),
                                            .has_wait = is_first,
                                            .wait_status = run->main_wait_status };
        if (bmm__report_add_snapshot(report, symbolizer, list.items[i].path, &facts, &why))
            continue;
        if (is_first) {
            missing = bmm__intern(&report->strings, why.text);
            add_missing_main(report, run);
        } else {
            bmm__report_add_note(report, BMM__NO_PROCESS, why.text);
        }
    }
    note_lost_images(report, &list);
    report->check.mode = bmm__intern(&report->strings, run->mode);
    report->check.reason = bmm__intern(&report->strings, missing != NULL ? missing : reason_of(report, run));
    report->check.ran = report->check.reason == NULL;
    if (!report->check.ran)
        report->processes[0].check = report->check;
    bmm__report_finish(report);
    bmm__report_add_symbol_notes(report, symbolizer);
    bmm__symbolizer_free(symbolizer);
    free(list.items);
    return report;
}
