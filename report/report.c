#include "report/report.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

const struct bmm__stack bmm__no_stack;

struct bmm__report *bmm__report_make(void)
{
    struct bmm__report *report = bmm__must_zero(1, sizeof *report);
    report->strings.arena = &report->arena;
    return report;
}

void bmm__report_free(struct bmm__report *report)
{
    if (report == NULL)
        return;
    free(report->processes);
    free(report->leaks);
    free(report->runtime);
    free(report->expected);
    free(report->errors);
    free(report->unchecked);
    free(report->notes);
    bmm__strings_free(&report->strings);
    bmm__arena_free(&report->arena);
    free(report);
}

#define ADD(items, count, capacity) \
    (items) = bmm__grow((items), &(capacity), (size_t)(count) + 1, sizeof *(items)); \
    memset(&(items)[(count)], 0, sizeof *(items)); \
    return &(items)[(count)++]

struct bmm__process *bmm__report_add_process(struct bmm__report *report)
{
    ADD(report->processes, report->process_count, report->process_capacity);
}

static struct bmm__leak *empty(struct bmm__leak *leak)
{
    leak->stack = &bmm__no_stack;
    return leak;
}

static struct bmm__leak *add_leak(struct bmm__report *report)
{
    ADD(report->leaks, report->leak_count, report->leak_capacity);
}

static struct bmm__leak *add_runtime(struct bmm__report *report)
{
    ADD(report->runtime, report->runtime_count, report->runtime_capacity);
}

static struct bmm__leak *add_expected(struct bmm__report *report)
{
    ADD(report->expected, report->expected_count, report->expected_capacity);
}

struct bmm__leak *bmm__report_add_leak(struct bmm__report *report, enum bmm__leak_list list)
{
    return empty(list == BMM__RUNTIME    ? add_runtime(report)
                 : list == BMM__EXPECTED ? add_expected(report)
                                         : add_leak(report));
}

static struct bmm__error *add_error(struct bmm__report *report)
{
    ADD(report->errors, report->error_count, report->error_capacity);
}

struct bmm__error *bmm__report_add_error(struct bmm__report *report)
{
    struct bmm__error *error = add_error(report);
    error->detected = error->allocated = error->freed = &bmm__no_stack;
    error->repeats = 1;
    return error;
}

struct bmm__unchecked *bmm__report_add_unchecked(struct bmm__report *report)
{
    ADD(report->unchecked, report->unchecked_count, report->unchecked_capacity);
}

static struct bmm__note *add_note(struct bmm__report *report)
{
    ADD(report->notes, report->note_count, report->note_capacity);
}

void bmm__report_add_notes(struct bmm__report *report, uint32_t process, uint32_t process_count, const char *text)
{
    text = bmm__intern(&report->strings, text);
    for (uint32_t i = 0; i < report->note_count; i++) {
        struct bmm__note *note = &report->notes[i];
        if (note->text != text || (note->process == BMM__NO_PROCESS) != (process == BMM__NO_PROCESS))
            continue;
        if (note->last_process != process)
            note->process_count += process_count;
        note->last_process = process;
        return;
    }
    *add_note(report) = (struct bmm__note){ process, process, process_count, text };
}

void bmm__report_add_note(struct bmm__report *report, uint32_t process, const char *text)
{
    bmm__report_add_notes(report, process, 1, text);
}

uint64_t bmm__saturating_add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* What decides of a leak's place; side by side, since most leaks are of few sizes and differ in their fingerprints alone. */
struct rank {
    uint64_t bytes, blocks;
    uint32_t process, index;
    uint64_t text; /* how the fingerprint begins, as a number */
    const char *fingerprint;
};

static uint64_t beginning_of(const char *text)
{
    uint64_t number = 0;
    for (unsigned shift = 64; shift > 0 && *text != 0; text++)
        number |= (uint64_t)(unsigned char)*text << (shift -= 8);
    return number;
}

static int by_bytes(const void *left, const void *right)
{
    const struct rank *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    if (a->blocks != b->blocks)
        return a->blocks > b->blocks ? -1 : 1;
    if (a->process != b->process)
        return a->process < b->process ? -1 : 1;
    if (a->text != b->text)
        return a->text < b->text ? -1 : 1;
    int order = strcmp(a->fingerprint, b->fingerprint);
    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

static void sort_leaks(struct bmm__leak *leaks, uint32_t count)
{
    struct rank *ranks = bmm__must_alloc(count * sizeof *ranks);
    struct bmm__leak *before = bmm__must_alloc(count * sizeof *before);
    memcpy(before, leaks, count * sizeof *before);
    for (uint32_t i = 0; i < count; i++)
        ranks[i] = (struct rank){
            leaks[i].bytes,      leaks[i].blocks, leaks[i].process, i, beginning_of(leaks[i].fingerprint),
            leaks[i].fingerprint
        };
    qsort(ranks, count, sizeof *ranks, by_bytes);
    for (uint32_t i = 0; i < count; i++)
        leaks[i] = before[ranks[i].index];
    free(ranks);
    free(before);
}

static void sum(struct bmm__leak *leaks, uint32_t count, uint64_t *bytes, uint64_t *blocks)
{
    *bytes = *blocks = 0;
    if (count > 1)
        sort_leaks(leaks, count);
    for (uint32_t i = 0; i < count; i++) {
        *bytes = bmm__saturating_add(*bytes, leaks[i].bytes);
        *blocks = bmm__saturating_add(*blocks, leaks[i].blocks);
    }
}

/* Sorts items stably by the process that stands at the start of each; BMM__NO_PROCESS goes last. */
static void sort_by_process(void *items, uint32_t count, size_t bytes, uint32_t process_count)
{
    if (count == 0)
        return;
    uint32_t *next = bmm__must_zero((size_t)process_count + 2, sizeof *next);
    char *sorted = bmm__must_zero(count, bytes), *from = items;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t process;
            memcpy(&process, from + i * bytes, sizeof process);
            process = process < process_count ? process : process_count;
            if (pass == 0)
                next[process + 1]++;
            else
                memcpy(sorted + next[process]++ * bytes, from + i * bytes, bytes);
        }
        for (uint32_t i = 0; pass == 0 && i <= process_count; i++)
            next[i + 1] += next[i];
    }
    memcpy(items, sorted, count * bytes);
    free(sorted);
    free(next);
}

#define MOVE(items, count) \
    do { \
        for (uint32_t i_ = 0; i_ < (count); i_++) \
            if ((items)[i_].process < report->process_count) /* and not BMM__NO_PROCESS */ \
                (items)[i_].process = place[(items)[i_].process]; \
        _Static_assert(offsetof(__typeof__(*(items)), process) == 0, "sort_by_process looks there"); \
        sort_by_process((items), (count), sizeof *(items), report->process_count); \
    } while (0)

void bmm__report_reorder(struct bmm__report *report, const uint32_t *place)
{
    struct bmm__process *moved = bmm__must_zero(report->process_count, sizeof *moved);
    for (uint32_t i = 0; i < report->process_count; i++)
        moved[place[i]] = report->processes[i];
    free(report->processes);
    report->processes = moved;
    report->process_capacity = report->process_count;
    MOVE(report->leaks, report->leak_count);
    MOVE(report->runtime, report->runtime_count);
    MOVE(report->expected, report->expected_count);
    MOVE(report->errors, report->error_count);
    MOVE(report->unchecked, report->unchecked_count);
    MOVE(report->notes, report->note_count);
}

/* A gate that asks only the report is to hear it of children, too. */
static void find_incomplete(struct bmm__report *report)
{
    struct bmm__check *check = &report->check;
    for (uint32_t i = 0; i < report->process_count && !check->is_incomplete; i++) {
        const struct bmm__process *process = &report->processes[i];
        if (!process->check.is_incomplete)
            continue;
        check->is_incomplete = true;
        check->reason =
            bmm__intern(&report->strings,
                        bmm__arena_printf(&report->arena, "%s%sprocess %u: %s",
                                          check->reason != NULL ? check->reason : "", check->reason != NULL ? "; " : "",
                                          process->pid, process->check.reason != NULL ? process->check.reason : "?"));
    }
}

static void take_check(struct bmm__report *report)
{
    if (report->check.mode != NULL)
        return;
    if (report->process_count > 0)
        report->check = report->processes[0].check;
    else
        report->check = (struct bmm__check){ .mode = "off", .reason = "no process was recorded" };
}

void bmm__report_finish(struct bmm__report *report)
{
    sum(report->leaks, report->leak_count, &report->leaked_bytes, &report->leaked_blocks);
    sum(report->runtime, report->runtime_count, &report->runtime_bytes, &report->runtime_blocks);
    sum(report->expected, report->expected_count, &report->expected_bytes, &report->expected_blocks);
    take_check(report);
    find_incomplete(report);
}
