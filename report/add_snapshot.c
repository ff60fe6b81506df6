#include "report/add_snapshot.h"

#include "report/expected.h"
#include "report/fingerprint.h"
#include "report/ownership.h"
#include "report/sentence.h"
#include "report/snapshot_read.h"
#include "report/stack_build.h"
#include "report/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define GROUP_BYTES ((size_t)1536) /* that a leak of its own takes until it is written, with a stack of 64 frames */
#define FULL "the recorder was full: later records are missing"
#define LOST "more distinct errors happened than are recorded"
#define LOST_CHILDREN "forked children could make no record of their own"

struct bmm__prepared {
    struct bmm__snapshot snapshot;
    struct bmm__stack_build stacks;
};

/* What one snapshot needs while it is read. */
struct reading {
    struct bmm__report *report;
    struct bmm__snapshot snapshot;
    struct bmm__stack_build stacks;
    uint32_t process;
    struct bmm__expected expected;
    uint64_t torn_count; /* mirror records that are not believed */
};

struct group {
    uint32_t stack, kind;
    bool is_expected;
    const char *type; /* NULL: not known */
    uint64_t bytes, blocks;
};

struct groups {
    struct bmm__map map; /* (stack id, kind, expected) → list; behind those come groups with types */
    struct group *list;
    uint32_t count, capacity;
    const char *classes[2], *kinds[BMM_KIND_COUNT + 1]; /* interned when first met; the last: any other */
    struct bmm__map
        leaks; /* hashes of the stack as it reads and of the type → place in the report's leaks, or in its runtime */
};

/* Expected by itself, or as one of its size; those of libc are not the program's. */
static bool is_block_expected(struct reading *r, const struct bmm_snapshot_mirror *record, uint64_t size)
{
    if (BMM_MIRROR_STATE(record->detail) == BMM_SLOT_EXPECTED)
        return true;
    if (!bmm__expected_has_size(&r->expected, size) ||
        bmm__stack_is_runtime(bmm__stack_build_get(&r->stacks, record->stack)))
        return false;
    bmm__expected_take_size(&r->expected, size);
    return true;
}

static bool is_in_use(const struct bmm_snapshot_mirror *record)
{
    uint32_t state = BMM_MIRROR_STATE(record->detail);
    return state == BMM_SLOT_LIVE || state == BMM_SLOT_EXPECTED;
}

static bool is_believed(const struct bmm_snapshot_mirror *record) /* S4 */
{
    return bmm_mirror_check(record->stack, record->size, record->detail) == BMM_MIRROR_CHECK(record->detail);
}

/* Until a visit says false. A copy of each: the process may still write them. */
static void each_in_use(const struct bmm__snapshot *snapshot,
                        bool (*visit)(void *context, const struct bmm_snapshot_mirror *record), void *context)
{
    struct bmm__cursor cursor = { 0 };
    struct bmm_snapshot_span span;
    while (bmm__snapshot_next_span(snapshot, &cursor, &span)) {
        const struct bmm_snapshot_mirror *records = bmm__snapshot_mirror(snapshot, &span);
        for (uint32_t i = 0; i < span.slot_count; i++) {
            struct bmm_snapshot_mirror record = records[i];
            if (is_in_use(&record) && !visit(context, &record))
                return;
        }
    }
}

struct counting {
    struct reading *reading;
    struct groups *groups;
};

static bool count_block(void *context, const struct bmm_snapshot_mirror *record)
{
    const struct counting *counting = context;
    struct reading *r = counting->reading;
    struct groups *groups = counting->groups;
    if (!is_believed(record)) {
        r->torn_count++;
        return true;
    }
    uint32_t kind = BMM_MIRROR_KIND(record->detail);
    uint64_t size = (uint64_t)BMM_MIRROR_SIZE_HIGH(record->detail) << 32 | record->size;
    bool is_expected = is_block_expected(r, record, size), is_new;
    uint32_t index = bmm__map_put(&groups->map, record->stack, 2 * kind + is_expected, groups->count, &is_new);
    if (is_new) {
        groups->list = bmm__grow(groups->list, &groups->capacity, (size_t)groups->count + 1, sizeof *groups->list);
        groups->list[groups->count++] =
            (struct group){ .stack = record->stack, .kind = kind, .is_expected = is_expected };
    }
    struct group *group = &groups->list[index];
    group->bytes = bmm__saturating_add(group->bytes, size);
    group->blocks++;
    return true;
}

/* Of a group, the blocks that are objects of one class become a group of their own. */
static void split_by_types(struct reading *r, struct groups *groups)
{
    uint32_t count = groups->count;
    struct bmm__cursor cursor = { 0 };
    struct bmm_snapshot_type found;
    while (bmm__snapshot_next_type(&r->snapshot, &cursor, &found)) {
        bool is_new;
        uint32_t index =
            bmm__map_put(&groups->map, found.stack, 2 * found.kind + (found.is_expected != 0), UINT32_MAX, &is_new);
        if (index >= count || found.blocks > groups->list[index].blocks || found.bytes > groups->list[index].bytes)
            continue; /* records that are not believed, or some of these blocks are expected by their size */
        const char *type = bmm__stack_build_type(&r->stacks, found.word);
        if (type == NULL)
            continue;
        groups->list = bmm__grow(groups->list, &groups->capacity, (size_t)groups->count + 1, sizeof *groups->list);
        groups->list[index].blocks -= found.blocks;
        groups->list[index].bytes -= found.bytes;
        groups->list[groups->count++] =
            (struct group){ found.stack, found.kind, groups->list[index].is_expected, type, found.bytes, found.blocks };
    }
}

static const char *class_of(struct reading *r, struct groups *groups, bool is_expected)
{
    const char **known = &groups->classes[is_expected];
    if (*known == NULL)
        *known = bmm__intern(&r->report->strings, is_expected ? "expected" : "unfreed");
    return *known;
}

static const char *kind_of(struct reading *r, struct groups *groups, uint32_t kind)
{
    const char **known = &groups->kinds[kind < BMM_KIND_COUNT ? kind : BMM_KIND_COUNT];
    if (*known == NULL)
        *known = bmm__intern(&r->report->strings, bmm__word_alloc_kind(kind));
    return *known;
}

/* A leak of its own, or more of one at the same place of the source. */
static void add_group(struct reading *r, struct groups *groups, const struct group *group)
{
    struct bmm__report *report = r->report;
    const struct bmm__stack *stack = bmm__stack_build_get(&r->stacks, group->stack);
    bool is_expected = group->is_expected || bmm__expected_has_stack(&r->expected, stack), is_new;
    enum bmm__leak_list list = is_expected ? BMM__EXPECTED : bmm__stack_is_runtime(stack) ? BMM__RUNTIME : BMM__LEAKS;
    const uint32_t counts[] = { report->leak_count, report->runtime_count, report->expected_count };
    struct bmm__leak_name name = bmm__stack_build_name(&r->stacks, group->stack, group->kind, &report->strings);
    struct bmm__stack_key key = name.key;
    bmm__stack_key_add(&key, list);
    bmm__stack_key_add(&key, (uintptr_t)group->type); /* interned (P2) */
    uint32_t index = bmm__map_put(&groups->leaks, key.a, key.b, counts[list], &is_new);
    if (is_new) {
        *bmm__report_add_leak(report, list) = (struct bmm__leak){ .process = r->process,
                                                                  .class = class_of(r, groups, is_expected),
                                                                  .kind = kind_of(r, groups, group->kind),
                                                                  .type = group->type,
                                                                  .fingerprint = name.fingerprint,
                                                                  .stack = stack };
    }
    struct bmm__leak *const lists[] = { report->leaks, report->runtime, report->expected };
    struct bmm__leak *leak = &lists[list][index];
    leak->bytes = bmm__saturating_add(leak->bytes, group->bytes);
    leak->blocks = bmm__saturating_add(leak->blocks, group->blocks);
}

static void add_leaks(struct reading *r)
{
    struct groups groups = { 0 };
    bmm__expected_read(&r->expected, &r->snapshot);
    each_in_use(&r->snapshot, count_block, &(struct counting){ r, &groups });
    bmm__prefault(groups.count * GROUP_BYTES);
    split_by_types(r, &groups);
    for (uint32_t i = 0; i < groups.count; i++)
        if (groups.list[i].blocks > 0)
            add_group(r, &groups, &groups.list[i]);
    bmm__map_free(&groups.map);
    bmm__map_free(&groups.leaks);
    bmm__expected_free(&r->expected);
    free(groups.list);
}

/* Its name and, since many threads have the program's, its number. NULL: not known. */
static const char *thread_name(struct reading *r, uint32_t index)
{
    struct bmm__cursor cursor = { 0 };
    struct bmm_snapshot_thread thread;
    while (bmm__snapshot_next_thread(&r->snapshot, &cursor, &thread)) {
        if (thread.index != index)
            continue;
        char text[sizeof thread.name + 32];
        int bytes =
            snprintf(text, sizeof text, "%.*s (thread %u)", (int)sizeof thread.name, thread.name, (unsigned)index);
        return bmm__intern_bytes(&r->report->strings, text, (size_t)bytes);
    }
    return NULL;
}

static void add_errors(struct reading *r)
{
    struct bmm__strings *strings = &r->report->strings;
    struct bmm__cursor cursor = { 0 };
    struct bmm_snapshot_error found;
    while (bmm__snapshot_next_error(&r->snapshot, &cursor, &found)) {
        struct bmm__error *error = bmm__report_add_error(r->report);
        error->process = r->process;
        error->kind = bmm__intern(strings, bmm__word_error(found.kind));
        error->moment = bmm__intern(strings, bmm__word_moment(found.moment));
        error->repeats = found.repeat_count > 0 ? found.repeat_count : 1;
        error->address = found.address;
        error->block = found.block;
        error->size = found.size;
        error->given_size = found.given_size;
        error->given_align = found.given_align;
        error->align = found.align;
        error->alloc_kind = bmm__intern(strings, bmm__word_alloc_kind(found.alloc_kind));
        error->free_kind = bmm__intern(strings, bmm__word_free_kind(found.free_kind));
        error->thread = thread_name(r, found.thread);
        error->alloc_thread = found.alloc_stack != 0 ? thread_name(r, found.alloc_thread) : NULL;
        error->time_ns = found.time_ns;
        error->changed_count = found.changed_count;
        for (uint32_t i = 0; i < found.changed_count && i < BMM_ERROR_CHANGED_MAX; i++)
            error->changed[error->listed_count++] =
                (struct bmm__changed){ found.changed[i].offset, found.changed[i].expected, found.changed[i].found };
        error->detected = bmm__stack_build_get(&r->stacks, found.detected_stack);
        error->allocated = bmm__stack_build_get(&r->stacks, found.alloc_stack);
        error->freed = bmm__stack_build_get(&r->stacks, found.free_stack);
        char fingerprint[BMM__FINGERPRINT_BYTES];
        bmm__fingerprint(fingerprint, error->kind, error->allocated->count > 0 ? error->allocated : error->detected);
        error->fingerprint = bmm__intern(strings, fingerprint);
    }
}

static void add_modules(struct reading *r, struct bmm__process *process)
{
    struct bmm__arena *arena = &r->report->arena;
    struct bmm__cursor cursor = { 0 };
    struct bmm__module_record record;
    process->module_capacity = r->stacks.module_count;
    process->modules = bmm__arena_zero(arena, process->module_capacity, sizeof *process->modules);
    while (process->module_count < process->module_capacity &&
           bmm__snapshot_next_module(&r->snapshot, &cursor, &record)) {
        char build_id[2 * sizeof record.build_id + 1] = "";
        for (uint32_t i = 0; i < record.build_id_bytes; i++) {
            build_id[2 * i] = "0123456789abcdef"[record.build_id[i] >> 4];
            build_id[2 * i + 1] = "0123456789abcdef"[record.build_id[i] & 15];
        }
        process->modules[process->module_count++] =
            (struct bmm__module){ bmm__intern(&r->report->strings, record.path), record.start, record.end,
                                  bmm__intern(&r->report->strings, build_id) };
    }
}

static void add_command(struct reading *r, struct bmm__process *process)
{
    struct bmm__cursor cursor = { 0 };
    const char *text;
    size_t bytes;
    while (bmm__snapshot_next_argument(&r->snapshot, &cursor, &text, &bytes))
        process->command_count++;
    process->command = bmm__arena_zero(&r->report->arena, process->command_count, sizeof *process->command);
    cursor = (struct bmm__cursor){ 0 };
    for (uint32_t i = 0; i < process->command_count; i++)
        process->command[i] = bmm__snapshot_next_argument(&r->snapshot, &cursor, &text, &bytes)
                                  ? bmm__intern_bytes(&r->report->strings, text, bytes)
                                  : bmm__intern(&r->report->strings, "");
}

static const char *state_of(const struct bmm_snapshot_header *header, const struct bmm__process_facts *facts)
{
    if (header->state == BMM_SNAPSHOT_EXITED)
        return "exited";
    if (header->state == BMM_SNAPSHOT_EXECED)
        return "execed";
    return facts->is_running ? "running" : "ended";
}

static struct bmm__check check_of(const struct bmm_snapshot_header *header, struct bmm__strings *strings)
{
    const char *reason = header->mode == BMM_MODE_OFF            ? "mode off: nothing was recorded"
                         : header->flags & BMM_SNAPSHOT_BYPASSED ? "the program brings its own malloc"
                                                                 : NULL;
    bool is_full = (header->flags & BMM_SNAPSHOT_FULL) != 0, has_lost = (header->flags & BMM_SNAPSHOT_ERRORS_LOST) != 0,
         has_lost_children = header->lost_children != 0;
    return (struct bmm__check){ bmm__intern(strings, bmm__word_mode(header->mode)), reason == NULL,
                                bmm__intern(strings, reason != NULL      ? reason
                                                     : is_full           ? FULL
                                                     : has_lost          ? LOST
                                                     : has_lost_children ? LOST_CHILDREN
                                                                         : NULL),
                                reason == NULL && (is_full || has_lost || has_lost_children) };
}

/* Why the process was not checked or, where it was, what that check did not come to; NULL: nothing is to be said. */
static const char *reason_of(const struct bmm__process *process, const struct bmm__process_facts *facts)
{
    if (!process->check.ran || strcmp(process->check.mode, "check") != 0 || strcmp(process->state, "exited") == 0)
        return process->check.reason;
    static char text[192];
    char word[32];
    const char *end = strcmp(process->state, "execed") == 0    ? "became another program"
                      : strcmp(process->state, "running") == 0 ? "still running"
                      : process->signal != 0                   ? bmm__signal_word(process->signal, word, sizeof word)
                      : facts->has_wait                        ? "_exit"
                                                               : "a signal or _exit";
    bool is_ended = strcmp(process->state, "ended") == 0;
    bool is_more = process->check.reason != NULL;
    snprintf(text, sizeof text, "%s%s%s%s: blocks in use were not verified", is_more ? process->check.reason : "",
             is_more ? "; " : "", is_ended ? "ended by " : "", end);
    return text;
}

static void add_process(struct reading *r, const struct bmm__process_facts *facts)
{
    const struct bmm_snapshot_header *header = &r->snapshot.header;
    struct bmm__strings *strings = &r->report->strings;
    struct bmm__process *process = bmm__report_add_process(r->report);
    process->pid = header->pid;
    process->ppid = header->ppid;
    process->exec_count = header->exec_count;
    process->state = bmm__intern(strings, state_of(header, facts));
    process->is_forked = (header->flags & BMM_SNAPSHOT_FORKED) != 0;
    process->start_unix_ns = header->start_unix_ns;
    process->exit_unix_ns = header->exit_unix_ns;
    process->alloc_count = header->alloc_count;
    process->free_count = header->free_count;
    process->peak_bytes = header->peak_bytes;
    process->check = check_of(header, strings);
    if (facts->has_wait && WIFEXITED(facts->wait_status)) {
        process->has_exit = true;
        process->exit = WEXITSTATUS(facts->wait_status);
    } else if (facts->has_wait && WIFSIGNALED(facts->wait_status)) {
        process->signal = WTERMSIG(facts->wait_status);
    } else if (!facts->has_wait && header->state == BMM_SNAPSHOT_EXITED && header->exit_status >= 0) {
        process->has_exit = true;
        process->exit = header->exit_status & 0xff;
    }
    process->check.reason = bmm__intern(strings, reason_of(process, facts));
    add_command(r, process);
    add_modules(r, process);
}

/* Children that have no record, of which that of the process they came from tells. */
static void add_lost(struct reading *r, uint32_t count, const char *program, const char *one, const char *many)
{
    struct bmm__report *report = r->report;
    const struct bmm_snapshot_header *header = &r->snapshot.header;
    if (count == 0)
        return;
    const char *reason = count == 1 ? one : bmm__arena_printf(&report->arena, "%u %s", count, many);
    *bmm__report_add_unchecked(report) = (struct bmm__unchecked){
        r->process, header->lost_children + header->lost_programs + header->lost_sandboxed == 1 ? header->lost_pid : 0,
        bmm__intern(&report->strings, program), bmm__intern(&report->strings, reason)
    };
}

static void add_all_lost(struct reading *r)
{
    static const char causes[] = ": another user or root directory, a limit, a full disk",
                      rights[] = " may not write where brainmm records: another user, another root directory";
    const struct bmm_snapshot_header *header = &r->snapshot.header;
    const struct bmm__process *process = &r->report->processes[r->process];
    struct bmm__arena *arena = &r->report->arena;
    add_lost(r, header->lost_children, process->command_count > 0 ? process->command[0] : "",
             bmm__arena_printf(arena, "a child that it forked could make no record of its own%s", causes),
             bmm__arena_printf(arena, "%s%s", LOST_CHILDREN, causes));
    add_lost(r, header->lost_sandboxed, process->command_count > 0 ? process->command[0] : "",
             "a child that it forked could make no record of its own in its sandbox",
             "children that it forked could make no record of their own in their sandbox");
    add_lost(r, header->lost_programs, "", bmm__arena_printf(arena, "the program it became%s", rights),
             bmm__arena_printf(arena, "programs that children became%s", rights));
}

static void add_unchecked(struct reading *r)
{
    struct bmm__cursor cursor = { 0 };
    struct bmm__unchecked_record record;
    while (bmm__snapshot_next_unchecked(&r->snapshot, &cursor, &record))
        *bmm__report_add_unchecked(r->report) =
            (struct bmm__unchecked){ r->process, record.pid, bmm__intern(&r->report->strings, record.path),
                                     bmm__intern(&r->report->strings, record.reason) };
}

static void add_notes(struct reading *r)
{
    struct bmm__report *report = r->report;
    const struct bmm_snapshot_header *header = &r->snapshot.header;
    const char *state = report->processes[r->process].state;
    struct bmm__cursor cursor = { 0 };
    const char *text;
    size_t bytes;
    while (bmm__snapshot_next_note(&r->snapshot, &cursor, &text, &bytes))
        bmm__report_add_note(report, r->process, bmm__intern_bytes(&report->strings, text, bytes));
    if (strcmp(state, "ended") == 0)
        bmm__report_add_note(report, r->process,
                             "ended without the exit hook (signal or _exit): freed blocks up to then are known, "
                             "final verification did not run");
    if (strcmp(state, "running") == 0)
        bmm__report_add_note(report, r->process, "still running: blocks are those of the moment of this report");
    if (header->flags & BMM_SNAPSHOT_FULL)
        bmm__report_add_note(report, r->process, FULL " (see the option recorder_max)");
    if (header->flags & BMM_SNAPSHOT_ERRORS_LOST)
        bmm__report_add_note(report, r->process, LOST);
    if (header->flags & BMM_SNAPSHOT_MOVED)
        bmm__report_add_note(
            report, r->process,
            "has gone to where it may not write what brainmm records (another user, root directory or mount "
            "namespace): not all that it started since then need be known");
    if (r->torn_count + r->snapshot.damaged_count > 0)
        bmm__report_add_note(report, r->process,
                             bmm__arena_printf(&report->arena, "%llu records were not complete and are left out",
                                               (unsigned long long)(r->torn_count + r->snapshot.damaged_count)));
}

#define BLOCKS_TOGETHER 64u /* before it is asked whether it is enough */

struct preparing {
    struct bmm__stack_build *stacks;
    struct bmm__strings *strings;
    const struct bmm__prepare_limits *limits;
    uint32_t count;
};

static bool prepare_block(void *context, const struct bmm_snapshot_mirror *record)
{
    struct preparing *p = context;
    if (!is_believed(record))
        return true;
    if (p->limits != NULL && p->count++ % BLOCKS_TOGETHER == 0 && p->limits->is_enough(p->limits->context))
        return false;
    if (bmm__stack_build_try(p->stacks, record->stack))
        bmm__stack_build_name(p->stacks, record->stack, BMM_MIRROR_KIND(record->detail), p->strings);
    return true;
}

void bmm__prepared_free(struct bmm__prepared *prepared)
{
    if (prepared == NULL)
        return;
    if (prepared->stacks.snapshot != NULL) /* not taken over */
        bmm__stack_build_free(&prepared->stacks);
    bmm__snapshot_close(&prepared->snapshot);
    free(prepared);
}

/* Begins, or goes on with what is prepared (or NULL), which loses it. */
static void open_stacks(struct bmm__stack_build *stacks, const struct bmm__snapshot *snapshot,
                        struct bmm__symbolizer *symbolizer, struct bmm__report *report, struct bmm__prepared *prepared)
{
    if (prepared == NULL || !bmm__stack_build_continue(&prepared->stacks, snapshot)) {
        bmm__stack_build_open(stacks, snapshot, symbolizer, &report->arena);
        return;
    }
    *stacks = prepared->stacks;
    prepared->stacks = (struct bmm__stack_build){ 0 };
}

struct bmm__prepared *bmm__report_prepare(struct bmm__report *report, struct bmm__symbolizer *symbolizer,
                                          const char *path, struct bmm__prepared *earlier,
                                          const struct bmm__prepare_limits *limits)
{
    struct bmm__prepared *p = bmm__must_zero(1, sizeof *p);
    struct bmm__why why;
    if (!bmm__snapshot_open_again(&p->snapshot, path, earlier != NULL ? &earlier->snapshot : NULL, &why)) {
        free(p);
        return earlier;
    }
    open_stacks(&p->stacks, &p->snapshot, symbolizer, report, earlier);
    bmm__prepared_free(earlier);
    bmm__symbolizer_be_modest(symbolizer, limits != NULL);
    struct preparing preparing = { .stacks = &p->stacks, .strings = &report->strings, .limits = limits };
    each_in_use(&p->snapshot, prepare_block, &preparing);
    bmm__symbolizer_be_modest(symbolizer, false);
    if (limits != NULL)
        bmm__snapshot_unmap(&p->snapshot);
    return p;
}

bool bmm__report_add_snapshot(struct bmm__report *report, struct bmm__symbolizer *symbolizer, const char *path,
                              const struct bmm__process_facts *facts, struct bmm__why *why)
{
    struct reading r = { .report = report, .process = report->process_count };
    const struct bmm__snapshot *earlier = facts->prepared != NULL ? &facts->prepared->snapshot : NULL;
    if (!bmm__snapshot_open_again(&r.snapshot, path, earlier, why))
        return false;
    open_stacks(&r.stacks, &r.snapshot, symbolizer, report, facts->prepared);
    add_process(&r, facts);
    add_leaks(&r);
    add_errors(&r);
    add_unchecked(&r);
    add_all_lost(&r);
    add_notes(&r);
    bmm__stack_build_free(&r.stacks);
    bmm__snapshot_close(&r.snapshot);
    return true;
}
