#define _GNU_SOURCE
#include "viewer/collect.h"

#include "report/add_snapshot.h"
#include "report/process_alive.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

struct bmm__collector {
    const char *directory;
    struct bmm__report *report;
    struct bmm__symbolizer *symbolizer;
};

static void find_snapshots(struct list *list, const char *place, pid_t main_pid)
{
    DIR *directory = opendir(place);
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
        *found = (struct found){ .pid = pid, .start = start, .count = count, .is_main = pid == (uint64_t)main_pid };
        if (snprintf(found->path, sizeof found->path, "%s/%s", place, entry->d_name) < PATH_MAX)
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

/* ---- while the program runs ---- */

void bmm__collector_sweep(struct bmm__collector *collector, pid_t main_pid)
{
    struct list list = { 0 };
    find_snapshots(&list, collector->directory, main_pid);
    if (list.count > 0)
        qsort(list.items, list.count, sizeof *list.items, by_rank);
    for (uint32_t i = 0, end; i < list.count; i = end) {
        for (end = i + 1; end < list.count && list.items[end].pid == list.items[i].pid &&
                          list.items[end].start == list.items[i].start;
             end++)
            ;
        if (list.items[i].is_main || !bmm__snapshot_is_finished(list.items[end - 1].path))
            continue;
        for (uint32_t k = i; k < end; k++) { /* the images of one process, the last of which exited */
            struct bmm__why why;
            struct bmm__process_facts facts = { 0 };
            if (bmm__report_add_snapshot(collector->report, collector->symbolizer, list.items[k].path, &facts, &why))
                unlink(list.items[k].path);
        }
    }
    free(list.items);
}

/* ---- at its end ---- */

struct order {
    uint32_t early, count; /* of the processes, the first `early` were swept, and go behind the others */
};

static void put_behind(uint32_t *process, struct order order)
{
    if (*process < order.count)
        *process = *process < order.early ? *process + order.count - order.early : *process - order.early;
}

static void put_swept_behind(struct bmm__report *report, uint32_t early)
{
    struct order order = { early, report->process_count };
    if (early == 0)
        return;
    struct bmm__process *processes = bmm__arena_alloc(&report->arena, early * sizeof *processes);
    memcpy(processes, report->processes, early * sizeof *processes);
    memmove(report->processes, report->processes + early, (order.count - early) * sizeof *processes);
    memcpy(report->processes + order.count - early, processes, early * sizeof *processes);
    for (uint32_t i = 0; i < report->leak_count; i++)
        put_behind(&report->leaks[i].process, order);
    for (uint32_t i = 0; i < report->runtime_count; i++)
        put_behind(&report->runtime[i].process, order);
    for (uint32_t i = 0; i < report->error_count; i++)
        put_behind(&report->errors[i].process, order);
    for (uint32_t i = 0; i < report->unchecked_count; i++)
        put_behind(&report->unchecked[i].process, order);
    for (uint32_t i = 0; i < report->note_count; i++)
        put_behind(&report->notes[i].process, order);
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
        for (uint32_t k = 0; k < report->process_count; k++) /* those that were swept are not in the list */
            is_followed |=
                report->processes[k].pid == process->pid && report->processes[k].exec_count > process->exec_count;
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

struct bmm__collector *bmm__collector_make(const char *directory)
{
    struct bmm__collector *collector = NULL;
    uint32_t capacity = 0;
    collector = bmm__grow(collector, &capacity, 1, sizeof *collector);
    collector->directory = directory;
    collector->report = bmm__report_make();
    collector->symbolizer = bmm__symbolizer_make(&collector->report->strings);
    return collector;
}

struct bmm__report *bmm__collect(const struct bmm__collect *run)
{
    return bmm__collector_finish(bmm__collector_make(run->directory), run);
}

struct bmm__report *bmm__collector_finish(struct bmm__collector *collector, const struct bmm__collect *run)
{
    struct bmm__report *report = collector->report;
    struct bmm__symbolizer *symbolizer = collector->symbolizer;
    uint32_t early = report->process_count;
    struct list list = { 0 };
    free(collector);
    const char *missing = NULL; /* why process 0 was made up here */
    find_snapshots(&list, run->directory, run->main_pid);
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
    put_swept_behind(report, early);
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
