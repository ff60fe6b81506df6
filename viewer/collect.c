#define _GNU_SOURCE
#include "viewer/collect.h"

#include "report/add_snapshot.h"
#include "report/process_alive.h"
#include "report/read_ahead.h"
#include "report/snapshot_live.h"
#include "viewer/absent.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READ_AHEAD_TRIES 20u
#define EARLY_NS 30000000L                /* that is spent at once while the program runs */
#define EARLY_BYTES_MAX ((off_t)64 << 20) /* of a snapshot: to look through more takes longer than it would save */

/* brainmm.<pid>.<start>.<n>.bmm */
struct found {
    uint64_t pid, start;
    uint32_t count;
    uint32_t process; /* in the report; BMM__NO_PROCESS: could not be read */
    bool is_main;     /* of the main pid; the last of them is the program that ended */
};

struct bmm__collection {
    const char *directory;
    struct bmm__report *report;
    struct bmm__symbolizer *symbolizer; /* NULL: not needed yet, the program has begun before */
    struct found *items;                /* in the order of report->processes, but for what could not be read */
    uint32_t count, capacity;
    bool is_thinned, has_read_ahead;
    unsigned read_ahead_tries;
    struct bmm__snapshot_live live; /* of the main program, while its end is awaited */
    struct found awaited;           /* the same snapshot */
    struct bmm__prepared *prepared; /* from it; NULL: nothing was */
    uint64_t naps, naps_to_prepare; /* how often there was time to prepare, and when it is to be used */
};

static bool path_of(char path[PATH_MAX], const struct bmm__collection *c, const struct found *found)
{
    return snprintf(path, PATH_MAX, "%s/brainmm.%llu.%llu.%u.bmm", c->directory, (unsigned long long)found->pid,
                    (unsigned long long)found->start, found->count) < PATH_MAX;
}

struct list {
    struct found *items;
    uint32_t count, capacity;
};

static struct list find_snapshots(const struct bmm__collection *c, pid_t main_pid)
{
    struct list list = { 0 };
    DIR *directory = opendir(c->directory);
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        unsigned long long pid, start;
        unsigned count;
        int end = 0;
        if (sscanf(entry->d_name, "brainmm.%llu.%llu.%u.bmm%n", &pid, &start, &count, &end) != 3 || end == 0 ||
            entry->d_name[end] != 0)
            continue;
        list.items = bmm__grow(list.items, &list.capacity, (size_t)list.count + 1, sizeof *list.items);
        list.items[list.count++] =
            (struct found){ .pid = pid, .start = start, .count = count, .is_main = pid == (uint64_t)main_pid };
    }
    if (directory != NULL)
        closedir(directory);
    return list;
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

static struct bmm__symbolizer *symbolizer_of(struct bmm__collection *c)
{
    if (c->symbolizer == NULL)
        c->symbolizer = bmm__symbolizer_make(&c->report->strings);
    return c->symbolizer;
}

static bool is_same(const struct found *a, const struct found *b)
{
    return a->pid == b->pid && a->start == b->start && a->count == b->count;
}

/* False: it could not be read. */
static bool take(struct bmm__collection *c, struct found found, const struct bmm__process_facts *facts,
                 struct bmm__why *why)
{
    char path[PATH_MAX];
    found.process = c->report->process_count;
    bool is_read = path_of(path, c, &found) && bmm__report_add_snapshot(c->report, symbolizer_of(c), path, facts, why);
    if (!is_read)
        found.process = BMM__NO_PROCESS;
    c->items = bmm__grow(c->items, &c->capacity, (size_t)c->count + 1, sizeof *c->items);
    c->items[c->count++] = found;
    return is_read;
}

struct bmm__collection *bmm__collection_make(const char *directory)
{
    struct bmm__collection *c = bmm__must_zero(1, sizeof *c);
    c->directory = directory;
    c->report = bmm__report_make();
    return c;
}

uint32_t *bmm__collection_awaits(const struct bmm__collection *c)
{
    return bmm__snapshot_live_word(&c->live);
}

static bool is_due(struct bmm__collection *c, const char *path)
{
    struct stat status;
    if (++c->naps < c->naps_to_prepare)
        return false;
    c->naps_to_prepare = 2 * c->naps;
    return stat(path, &status) == 0 && status.st_size <= EARLY_BYTES_MAX;
}

/* While a program runs, it is enough when it ends, and at the latest after a while: signals are handed on, but nothing else is done. */
struct early {
    const struct bmm__collection *collection;
    pid_t main_pid;
    struct timespec until;
};

static bool is_enough(void *context)
{
    const struct early *early = context;
    struct timespec now;
    siginfo_t ended = { 0 };
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > early->until.tv_sec ||
           (now.tv_sec == early->until.tv_sec && now.tv_nsec >= early->until.tv_nsec) ||
           bmm__snapshot_live_is_exiting(&early->collection->live) ||
           waitid(P_PID, (id_t)early->main_pid, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid != 0;
}

static struct timespec after(long nanoseconds)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    nanoseconds += now.tv_nsec;
    return (struct timespec){ now.tv_sec + nanoseconds / 1000000000, nanoseconds % 1000000000 };
}

void bmm__collection_prepare(struct bmm__collection *c, pid_t main_pid)
{
    char path[PATH_MAX];
    if (bmm__snapshot_live_word(&c->live) == NULL || !path_of(path, c, &c->awaited))
        return;
    bool is_exiting = bmm__snapshot_live_is_exiting(&c->live);
    if (!is_exiting && !is_due(c, path))
        return;
    struct early early = { c, main_pid, after(EARLY_NS) };
    struct bmm__prepare_limits limits = { is_enough, &early };
    bmm__symbolizer_resume(symbolizer_of(c));
    c->prepared = bmm__report_prepare(c->report, symbolizer_of(c), path, c->prepared, is_exiting ? NULL : &limits);
    bmm__symbolizer_pause(symbolizer_of(c)); /* the program may take its time to end */
    if (is_exiting)
        bmm__snapshot_live_close(&c->live);
}

/* What was read of a program that has become another one is not what the report will be of. */
static void follow_exec(struct bmm__collection *c)
{
    if (!bmm__snapshot_live_has_execed(&c->live))
        return;
    bmm__snapshot_live_close(&c->live);
    bmm__prepared_free(c->prepared);
    c->prepared = NULL;
    c->naps = c->naps_to_prepare = 0;
    c->has_read_ahead = false;
}

void bmm__collection_read_ahead(struct bmm__collection *c, pid_t main_pid)
{
    follow_exec(c);
    if (c->has_read_ahead || c->read_ahead_tries++ >= READ_AHEAD_TRIES)
        return;
    struct list list = find_snapshots(c, main_pid);
    for (uint32_t i = 0; i < list.count && !c->has_read_ahead; i++) {
        char path[PATH_MAX];
        if (!list.items[i].is_main || !path_of(path, c, &list.items[i]))
            continue;
        bmm__symbolizer_resume(symbolizer_of(c));
        enum bmm__read_ahead result = bmm__report_read_ahead(symbolizer_of(c), path, (uint32_t)main_pid);
        bmm__symbolizer_pause(symbolizer_of(c));
        c->has_read_ahead = result != BMM__AHEAD_NOT_YET;
        if (result == BMM__AHEAD_DONE && bmm__snapshot_live_open(&c->live, path))
            c->awaited = list.items[i];
    }
    free(list.items);
}

void bmm__collection_thin(struct bmm__collection *c, pid_t main_pid, uint32_t kept)
{
    struct list list = find_snapshots(c, main_pid);
    for (uint32_t i = 0; list.count > kept && i < list.count; i++) {
        char path[PATH_MAX];
        struct bmm__why why;
        if (list.items[i].is_main || !path_of(path, c, &list.items[i]) || !bmm__snapshot_is_finished(path))
            continue;
        bmm__symbolizer_resume(symbolizer_of(c));
        if (!take(c, list.items[i], &(struct bmm__process_facts){ 0 }, &why))
            bmm__report_add_note(c->report, BMM__NO_PROCESS, why.text);
        bmm__symbolizer_pause(symbolizer_of(c));
        unlink(path);
        c->is_thinned = true;
    }
    free(list.items);
}

bool bmm__collection_is_thinned(const struct bmm__collection *c)
{
    return c->is_thinned;
}

/* A process that became another program, of which there is no snapshot, was not checked to its end. */
static void note_lost_images(struct bmm__report *report)
{
    for (uint32_t i = 0; i < report->process_count; i++) {
        const struct bmm__process *process = &report->processes[i];
        if (strcmp(process->state, "execed") != 0)
            continue;
        bool is_followed = false, is_known = false;
        for (uint32_t k = 0; k < report->process_count; k++)
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

static uint32_t parent_of(const struct bmm__report *report, uint32_t process)
{
    for (uint32_t i = 0; i < report->process_count; i++)
        if (i != process && report->processes[i].pid == report->processes[process].ppid)
            return i;
    return 0;
}

/* Whoever reads only the list of what was not checked is to find the children that left a record and no more. */
static void list_children_not_checked(struct bmm__report *report)
{
    for (uint32_t i = 1; i < report->process_count; i++) {
        const struct bmm__process *process = &report->processes[i];
        if (!process->check.ran)
            *bmm__report_add_unchecked(report) =
                (struct bmm__unchecked){ parent_of(report, i), process->pid,
                                         process->command_count > 0 ? process->command[0]
                                                                    : bmm__intern(&report->strings, ""),
                                         process->check.reason };
    }
}

/* Why the program that ended under the main pid was not checked; NULL: it was. */
static const char *obstacle_of(const struct bmm__report *report, const struct bmm__run_facts *run)
{
    if (strcmp(report->processes[0].state, "execed") == 0) {
        for (uint32_t i = 0; i < report->unchecked_count; i++)
            if (report->unchecked[i].process == 0 && report->unchecked[i].reason[0] != 0 &&
                report->unchecked[i].pid == (uint32_t)run->main_pid)
                return report->unchecked[i].reason;
        return "the program became another one, which left no record";
    }
    return report->processes[0].check.ran ? NULL : report->processes[0].check.reason;
}

/* Where each process of the report belongs: item 0 is the main program, made up or not. */
static void put_in_order(struct bmm__collection *c)
{
    uint32_t *place = bmm__must_zero(c->report->process_count, sizeof *place), next = 0;
    qsort(c->items, c->count, sizeof *c->items, by_rank);
    for (uint32_t i = 0; i < c->count; i++)
        if (c->items[i].process != BMM__NO_PROCESS)
            place[c->items[i].process] = next++;
    bmm__report_reorder(c->report, place);
    free(place);
}

/* Takes the snapshots of the list, whose first may be the main program's. Why process 0 was made up; NULL: it was not. */
static const char *take_rest(struct bmm__collection *c, const struct list *list, const struct bmm__run_facts *run)
{
    const char *missing = NULL;
    if (list->count == 0 || !list->items[0].is_main)
        missing = "the program left no record: the debug library did not come into it, or could not make its file "
                  "there (a limit, a full disk)";
    for (uint32_t i = 0; i < list->count; i++) {
        char path[PATH_MAX];
        struct bmm__why why;
        bool is_first = list->items[i].is_main && i == 0;
        struct bmm__process_facts facts = { .is_running = !list->items[i].is_main &&
                                                          path_of(path, c, &list->items[i]) &&
                                                          bmm__snapshot_is_alive(path),
                                            .has_wait = is_first,
                                            .wait_status = run->main_wait_status,
                                            .prepared = is_same(&list->items[i], &c->awaited) ? c->prepared : NULL };
        if (take(c, list->items[i], &facts, &why))
            continue;
        if (is_first)
            missing = bmm__intern(&c->report->strings, why.text);
        else
            bmm__report_add_note(c->report, BMM__NO_PROCESS, why.text);
    }
    if (missing != NULL) {
        c->items = bmm__grow(c->items, &c->capacity, (size_t)c->count + 1, sizeof *c->items);
        c->items[c->count++] = (struct found){
            .pid = (uint64_t)run->main_pid, .start = UINT64_MAX, .is_main = true, .process = c->report->process_count
        };
        bmm__absent_add(c->report, &(struct bmm__absent){ .pid = (uint32_t)run->main_pid,
                                                          .state = "ended",
                                                          .mode = run->mode,
                                                          .command = run->command });
    }
    return missing;
}

struct bmm__report *bmm__collection_finish(struct bmm__collection *c, const struct bmm__run_facts *run)
{
    struct bmm__report *report = c->report;
    struct list list = find_snapshots(c, run->main_pid);
    if (list.count > 0)
        qsort(list.items, list.count, sizeof *list.items, by_rank);
    bmm__symbolizer_resume(symbolizer_of(c));
    const char *missing = take_rest(c, &list, run);
    put_in_order(c);
    note_lost_images(report);
    const char *obstacle = missing != NULL ? missing : obstacle_of(report, run);
    if (obstacle != NULL) {
        report->processes[0].check.ran = false;
        report->processes[0].check.reason = bmm__intern(&report->strings, obstacle);
    }
    report->check = report->processes[0].check;
    report->check.mode = bmm__intern(&report->strings, run->mode);
    list_children_not_checked(report);
    bmm__report_finish(report);
    bmm__report_add_symbol_notes(report, symbolizer_of(c));
    bmm__prepared_free(c->prepared);
    bmm__snapshot_live_close(&c->live);
    bmm__symbolizer_free(c->symbolizer);
    free(list.items);
    free(c->items);
    free(c);
    return report;
}
