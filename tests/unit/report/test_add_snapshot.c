/* From snapshots to leaks, errors and processes. */
#define _GNU_SOURCE
#include "make_snapshot.h"
#include "report/add_snapshot.h"
#include "report/merge.h"

#include <criterion/criterion.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

struct loaded {
    struct bmm__report *report;
    struct bmm__symbolizer *symbolizer;
};

static struct loaded load(struct made_snapshot *made, struct bmm__process_facts facts)
{
    struct loaded loaded = { .report = bmm__report_make() };
    loaded.symbolizer = bmm__symbolizer_make(&loaded.report->strings);
    struct bmm__why why;
    const char *path = made_path("add.bmm");
    made_write(made, path);
    cr_assert(bmm__report_add_snapshot(loaded.report, loaded.symbolizer, path, &facts, &why), "%s", why.text);
    bmm__report_finish(loaded.report);
    unlink(path);
    return loaded;
}

static void unload(struct loaded loaded)
{
    bmm__symbolizer_free(loaded.symbolizer);
    bmm__report_free(loaded.report);
}

Test(leaks, are_grouped_by_stack_and_kind_and_sorted_by_bytes)
{
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
    uint32_t one = made_node(&made, 0, 0x1000), two = made_node(&made, one, 0x2000);
    uint32_t slot = made_span(&made, 0x7f0000000000, 64, 10);
    made_block(&made, slot + 0, BMM_SLOT_LIVE, BMM_KIND_MALLOC, 10, one);
    made_block(&made, slot + 1, BMM_SLOT_LIVE, BMM_KIND_MALLOC, 11, one);
    made_block(&made, slot + 2, BMM_SLOT_LIVE, BMM_KIND_NEW, 12, one);
    made_block(&made, slot + 3, BMM_SLOT_QUARANTINED, BMM_KIND_NEW, 1000, one);
    made_block(&made, slot + 4, BMM_SLOT_FREE, BMM_KIND_NEW, 1000, one);
    slot = made_span(&made, 0x7f0000100000, 1 << 20, 1);
    made_block(&made, slot, BMM_SLOT_LIVE, BMM_KIND_NEW_ARRAY, (uint64_t)5 << 32, two);
    struct loaded loaded = load(&made, (struct bmm__process_facts){ 0 });
    const struct bmm__report *report = loaded.report;
    cr_assert_eq(report->leak_count, 3);
    cr_expect_str_eq(report->leaks[0].kind, "new[]");
    cr_expect_eq(report->leaks[0].bytes, (uint64_t)5 << 32);
    cr_expect_eq(report->leaks[0].stack->count, 2);
    cr_expect_eq(report->leaks[1].bytes, 21);
    cr_expect_eq(report->leaks[1].blocks, 2);
    cr_expect_str_eq(report->leaks[1].class, "unfreed");
    cr_expect_eq(report->leaks[2].bytes, 12);
    cr_expect_eq(report->leaked_blocks, 4);
    cr_expect_eq(report->leaked_bytes, ((uint64_t)5 << 32) + 33);
    cr_expect(report->check.ran);
    unload(loaded);
}

Test(leaks, of_several_processes_at_one_place_are_one_row)
{
    struct bmm__report *report = bmm__report_make();
    struct bmm__symbolizer *symbolizer = bmm__symbolizer_make(&report->strings);
    for (uint32_t process = 0; process < 3; process++) {
        struct made_snapshot made;
        struct bmm__why why;
        uint64_t base = 0x10000 * (process + 1); /* as address space randomisation does it */
        made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
        made_module(&made, "/path/of/program", base, base + 0x1000, base, NULL, 0);
        uint32_t slot = made_span(&made, 0x7f0000000000, 64, 2);
        made_block(&made, slot, BMM_SLOT_LIVE, BMM_KIND_MALLOC, 10, made_node(&made, 0, base + 0x100));
        made_block(&made, slot + 1, BMM_SLOT_LIVE, BMM_KIND_MALLOC, 5, made_node(&made, 0, base + 0x200 + process));
        const char *path = made_path("merge.bmm");
        made_write(&made, path);
        cr_assert(bmm__report_add_snapshot(report, symbolizer, path, &(struct bmm__process_facts){ 0 }, &why));
        unlink(path);
    }
    bmm__report_finish(report);
    struct bmm__merged_leaks merged = bmm__merge_leaks(report);
    cr_expect_eq(report->leak_count, 6);
    cr_assert_eq(merged.count, 4);
    cr_expect_eq(merged.rows[0].bytes, 30);
    cr_expect_eq(merged.rows[0].process_count, 3);
    cr_expect_eq(merged.rows[1].bytes, 5);
    cr_expect_eq(merged.rows[1].process_count, 1);
    bmm__merged_leaks_free(&merged);
    bmm__symbolizer_free(symbolizer);
    bmm__report_free(report);
}

/* What has come between preparing and the end. */
enum news { NOTHING, A_SITE, A_NODE, A_MODULE };

/* Of a process that still runs, then of its end: of three blocks one is free then, another one is new. */
static void put_process(const char *path, enum news news, bool is_ended)
{
    struct made_snapshot made;
    bool is_all = is_ended || news == NOTHING;
    made_begin(&made, BMM_MODE_LEAK, is_ended ? BMM_SNAPSHOT_EXITED : BMM_SNAPSHOT_RUNNING);
    made_module(&made, "/path/of/program", 0x1000, 0x9000, 0, NULL, 0);
    if (news != A_MODULE || is_ended)
        made_module(&made, "/path/of/other", 0x10000, 0x20000, 0, NULL, 0);
    uint32_t outer = made_node(&made, 0, 0x2000);
    uint32_t inner = made_node(&made, outer, is_all || news != A_SITE ? 0x3000 : 0);
    uint32_t last = is_all || news != A_NODE ? made_node(&made, inner, 0x10100) : inner;
    uint32_t slot = made_span(&made, 0x7f0000000000, 64, 4);
    made_block(&made, slot, BMM_SLOT_LIVE, BMM_KIND_MALLOC, 10, inner);
    made_block(&made, slot + 1, is_ended ? BMM_SLOT_FREE : BMM_SLOT_LIVE, BMM_KIND_MALLOC, 20, outer);
    made_block(&made, slot + 2, BMM_SLOT_LIVE, BMM_KIND_NEW, 40, last);
    if (is_ended)
        made_block(&made, slot + 3, BMM_SLOT_LIVE, BMM_KIND_NEW_ARRAY, 5, outer);
    made_write(&made, path);
}

static void check_prepared(enum news news)
{
    struct loaded loaded = { .report = bmm__report_make() };
    loaded.symbolizer = bmm__symbolizer_make(&loaded.report->strings);
    struct bmm__why why;
    const char *path = made_path("prepare.bmm");
    put_process(path, news, false);
    struct bmm__prepared *prepared = bmm__report_prepare(loaded.report, loaded.symbolizer, path, NULL, NULL);
    cr_assert_not_null(prepared);
    cr_expect_eq(loaded.report->leak_count, 0);
    put_process(path, news, true);
    cr_assert(bmm__report_add_snapshot(loaded.report, loaded.symbolizer, path,
                                       &(struct bmm__process_facts){ .prepared = prepared }, &why));
    bmm__prepared_free(prepared);
    bmm__report_finish(loaded.report);
    cr_assert_eq(loaded.report->leak_count, 3);
    const struct bmm__leak *leaks = loaded.report->leaks;
    static const uint64_t bytes[] = { 40, 10, 5 };
    static const uint32_t depths[] = { 3, 2, 1 };
    static const uint64_t offsets[] = { 0x10100 - 1, 0x3000 - 1, 0x2000 - 1 };
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect_eq(leaks[i].bytes, bytes[i]);
        cr_expect_not(leaks[i].stack->is_truncated);
        cr_assert_eq(leaks[i].stack->count, depths[i], "news %d, leak %u", (int)news, i);
        cr_expect_eq(leaks[i].stack->frames[0]->offset, offsets[i]);
    }
    cr_expect_str_eq(leaks[0].stack->frames[0]->module, "/path/of/other");
    unlink(path);
    unload(loaded);
}

Test(prepared, what_a_process_still_frees_and_allocates_is_seen)
{
    check_prepared(NOTHING);
}

Test(prepared, what_was_not_there_yet_is_made_again)
{
    check_prepared(A_SITE);
    check_prepared(A_NODE);
    check_prepared(A_MODULE);
}

static void put_two_modules(const char *path, bool is_ended)
{
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_LEAK, is_ended ? BMM_SNAPSHOT_EXITED : BMM_SNAPSHOT_RUNNING);
    made_module(&made, "/path/of/program", 0x1000, 0x9000, 0, NULL, 0);
    made_module(&made, "/path/of/other", 0x10000, 0x20000, 0, NULL, 0);
    uint32_t slot = made_span(&made, 0x7f0000000000, 64, 4);
    made_block(&made, slot, BMM_SLOT_LIVE, BMM_KIND_MALLOC, 10, made_node(&made, 0, 0x2000));
    made_block(&made, slot + 1, is_ended ? BMM_SLOT_FREE : BMM_SLOT_LIVE, BMM_KIND_MALLOC, 20,
               made_node(&made, 0, 0x10100));
    made_write(&made, path);
}

/* What the notes say does not depend on when there was time to prepare. */
Test(prepared, no_note_of_a_module_of_what_was_freed)
{
    struct loaded loaded = { .report = bmm__report_make() };
    loaded.symbolizer = bmm__symbolizer_make(&loaded.report->strings);
    struct bmm__why why;
    const char *path = made_path("notes.bmm");
    put_two_modules(path, false);
    struct bmm__prepared *prepared = bmm__report_prepare(loaded.report, loaded.symbolizer, path, NULL, NULL);
    put_two_modules(path, true);
    cr_assert(bmm__report_add_snapshot(loaded.report, loaded.symbolizer, path,
                                       &(struct bmm__process_facts){ .prepared = prepared }, &why));
    bmm__prepared_free(prepared);
    bmm__report_finish(loaded.report);
    bmm__report_add_symbol_notes(loaded.report, loaded.symbolizer);
    bool is_named[2] = { false, false };
    for (uint32_t i = 0; i < loaded.report->note_count; i++) {
        is_named[0] |= strstr(loaded.report->notes[i].text, "/path/of/program: no such file") != NULL;
        is_named[1] |= strstr(loaded.report->notes[i].text, "/path/of/other") != NULL;
    }
    cr_expect(is_named[0]);
    cr_expect_not(is_named[1]);
    unlink(path);
    unload(loaded);
}

static bool is_enough_at_once(void *count)
{
    return ++*(unsigned *)count > 0;
}

/* While the process runs, what takes its time is put off, and the file is let go of; the report is the same. */
Test(prepared, within_limits_first)
{
    struct loaded loaded = { .report = bmm__report_make() };
    loaded.symbolizer = bmm__symbolizer_make(&loaded.report->strings);
    struct bmm__why why;
    unsigned asked = 0;
    struct bmm__prepare_limits limits = { is_enough_at_once, &asked };
    const char *path = made_path("limits.bmm");
    put_two_modules(path, false);
    struct bmm__prepared *prepared = bmm__report_prepare(loaded.report, loaded.symbolizer, path, NULL, &limits), *again;
    cr_expect_eq(asked, 1);
    cr_expect_eq(bmm__symbolizer_module_count(loaded.symbolizer), 2);
    cr_expect_not(bmm__symbolizer_news(loaded.symbolizer, 0).is_used, "it was enough");
    again = bmm__report_prepare(loaded.report, loaded.symbolizer, "/nowhere", prepared, &limits);
    cr_expect_eq(again, prepared, "what there is stays");
    prepared = bmm__report_prepare(loaded.report, loaded.symbolizer, path, prepared, NULL);
    put_two_modules(path, true);
    cr_assert(bmm__report_add_snapshot(loaded.report, loaded.symbolizer, path,
                                       &(struct bmm__process_facts){ .prepared = prepared }, &why));
    bmm__prepared_free(prepared);
    bmm__report_finish(loaded.report);
    cr_assert_eq(loaded.report->leak_count, 1);
    cr_expect_eq(loaded.report->leaks[0].bytes, 10);
    cr_expect_eq(loaded.report->leaks[0].stack->count, 1);
    unlink(path);
    unload(loaded);
}

Test(prepared, nothing_where_there_is_no_snapshot)
{
    struct loaded loaded = { .report = bmm__report_make() };
    loaded.symbolizer = bmm__symbolizer_make(&loaded.report->strings);
    cr_expect_null(bmm__report_prepare(loaded.report, loaded.symbolizer, "/nowhere", NULL, NULL));
    bmm__prepared_free(NULL);
    unload(loaded);
}

Test(errors, have_all_that_the_snapshot_knows)
{
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_CHECK, BMM_SNAPSHOT_EXITED);
    uint32_t stack = made_node(&made, 0, 0x1000);
    for (uint32_t kind = BMM_ERROR_DOUBLE_FREE; kind <= BMM_ERROR_WRITE_AFTER_FREE; kind++) {
        struct bmm_snapshot_error *error = made_error(&made, kind, BMM_MOMENT_FREE + kind % 5);
        error->address = 0x7000 + kind;
        error->size = kind;
        error->alloc_stack = stack;
        error->changed_count = 30;
        error->changed[15].offset = -3;
    }
    struct loaded loaded = load(&made, (struct bmm__process_facts){ 0 });
    static const char *const kinds[] = {
        "double-free",           "invalid-free",  "interior-free",  "mismatched-free",
        "sized-delete-mismatch", "heap-overflow", "heap-underflow", "write-after-free"
    };
    cr_assert_eq(loaded.report->error_count, 8);
    for (uint32_t i = 0; i < 8; i++) {
        const struct bmm__error *error = &loaded.report->errors[i];
        cr_expect_str_eq(error->kind, kinds[i]);
        cr_expect_eq(error->address, 0x7001 + i);
        cr_expect_eq(error->listed_count, BMM__CHANGED_MAX);
        cr_expect_eq(error->changed[15].offset, -3);
        cr_expect_eq(error->allocated->count, 1);
        cr_expect_eq(error->detected->count, 0);
    }
    unload(loaded);
}

Test(processes, state_exit_and_signal)
{
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_OFF, BMM_SNAPSHOT_EXITED);
    made.header.exit_status = 7;
    struct loaded loaded = load(&made, (struct bmm__process_facts){ 0 });
    cr_expect_not(loaded.report->check.ran);
    cr_expect_not_null(loaded.report->check.reason);
    cr_expect(loaded.report->processes[0].has_exit && loaded.report->processes[0].exit == 7);
    unload(loaded);
    made_begin(&made, BMM_MODE_CHECK, BMM_SNAPSHOT_RUNNING);
    loaded = load(&made, (struct bmm__process_facts){ .has_wait = true, .wait_status = 11 });
    cr_expect_eq(loaded.report->processes[0].signal, 11);
    cr_expect_not(loaded.report->processes[0].has_exit);
    cr_expect_str_eq(loaded.report->processes[0].state, "ended");
    unload(loaded);
    made_begin(&made, BMM_MODE_CHECK, BMM_SNAPSHOT_RUNNING);
    loaded = load(&made, (struct bmm__process_facts){ .is_running = true });
    cr_expect_str_eq(loaded.report->processes[0].state, "running");
    unload(loaded);
}

Test(processes, what_was_lost_makes_the_check_incomplete)
{
    static const struct {
        uint32_t flags;
        const char *word;
    } cases[] = { { BMM_SNAPSHOT_FULL, "the recorder was full" },
                  { BMM_SNAPSHOT_ERRORS_LOST, "more distinct errors" } };
    for (int i = 0; i < 2; i++) {
        struct made_snapshot made;
        made_begin(&made, BMM_MODE_CHECK, BMM_SNAPSHOT_RUNNING);
        made.header.flags = cases[i].flags;
        struct loaded loaded = load(&made, (struct bmm__process_facts){ .has_wait = true, .wait_status = 9 });
        cr_expect(loaded.report->check.ran && loaded.report->check.is_incomplete);
        cr_expect_not_null(strstr(loaded.report->check.reason, cases[i].word));
        cr_expect_not_null(strstr(loaded.report->check.reason, "; ended by SIGKILL: blocks in use"));
        unload(loaded);
    }
}

Test(processes, children_without_a_record_are_told_of)
{
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_CHECK, BMM_SNAPSHOT_EXITED);
    made.header.lost_programs = 1;
    made.header.lost_pid = 77;
    struct loaded loaded = load(&made, (struct bmm__process_facts){ 0 });
    cr_expect_not(loaded.report->check.is_incomplete);
    cr_assert_eq(loaded.report->unchecked_count, 1);
    cr_expect_eq(loaded.report->unchecked[0].pid, 77);
    unload(loaded);
    made_begin(&made, BMM_MODE_CHECK, BMM_SNAPSHOT_EXITED);
    made.header.lost_children = 3;
    made.header.lost_programs = 1;
    made.header.lost_pid = 77;
    loaded = load(&made, (struct bmm__process_facts){ 0 });
    cr_expect(loaded.report->check.ran && loaded.report->check.is_incomplete);
    cr_expect_str_eq(loaded.report->check.reason, "forked children could make no record of their own");
    cr_assert_eq(loaded.report->unchecked_count, 2);
    for (unsigned i = 0; i < 2; i++)
        cr_expect_eq(loaded.report->unchecked[i].pid, 0); /* whose it is, nobody knows */
    cr_expect_not_null(strstr(loaded.report->unchecked[0].reason, "3 forked children"));
    unload(loaded);
}

/* 1 000 000 leaked blocks from 10 000 stacks of 20 frames, in code with debug information. */
Test(scale, a_million_blocks_take_less_than_three_seconds, .timeout = 100)
{
    static uint32_t ids[10000];
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
    made_own_modules(&made);
    for (uint32_t i = 0; i < 10000; i++) {
        void *pcs[20];
        for (uint32_t k = 0; k < 20; k++)
            pcs[k] = (void *)((uintptr_t)bmm__report_add_snapshot + (i * (k + 1) * 7) % 1500 + (k == 0) * (i % 16));
        pcs[1] = (void *)(uintptr_t)(0x100000 + i);
        ids[i] = made_stack(&made, pcs, 20);
    }
    for (uint32_t span = 0; span < 1000; span++) {
        uint32_t record = made_span(&made, 0x7f0000000000 + span * 65536ull, 64, 1000);
        for (uint32_t k = 0; k < 1000; k++)
            made_block(&made, record + k, BMM_SLOT_LIVE, BMM_KIND_MALLOC, 48, ids[(span * 1000 + k) % 10000]);
    }
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    struct loaded loaded = load(&made, (struct bmm__process_facts){ 0 });
    clock_gettime(CLOCK_MONOTONIC, &after);
    double seconds = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    cr_expect_eq(loaded.report->leak_count, 10000);
    cr_expect_eq(loaded.report->leaked_blocks, 1000000);
    cr_expect_lt(seconds, 3.0, "%.2f s", seconds);
#ifndef __SANITIZE_ADDRESS__
    cr_expect_lt(usage.ru_maxrss, 300 * 1024, "%ld KiB, with the test's own copies", usage.ru_maxrss);
#endif
    unload(loaded);
}
