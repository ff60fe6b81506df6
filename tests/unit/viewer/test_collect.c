/* A directory of snapshots becomes one report, with the main program first, and never a false green. */
#define _GNU_SOURCE
#include "../report/make_snapshot.h"
#include "viewer/collect.h"
#include "viewer/place.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct bmm__place place;
static char *command[] = { (char *)(uintptr_t) "program", NULL };

static void setup(void)
{
    struct bmm__why why;
    cr_assert(bmm__place_make(&place, &why), "%s", why.text);
}

static void teardown(void)
{
    bmm__place_remove(&place);
    cr_assert_neq(access(place.path, F_OK), 0);
}

TestSuite(collect, .init = setup, .fini = teardown);

static void put(uint32_t pid, uint32_t exec_count, uint32_t state, const char *name, uint64_t birth, bool is_damaged)
{
    char path[PATH_MAX + 64];
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_CHECK, state);
    made.header.pid = pid;
    made.header.exec_count = exec_count;
    if (is_damaged)
        made.header.magic[0] = 'x';
    made_text(&made, BMM_CHUNK_COMMAND, name);
    if (strcmp(name, "leaky") == 0)
        made_block(&made, made_span(&made, 0x7f0000000000, 64, 1), BMM_SLOT_LIVE, BMM_KIND_MALLOC, 8, 0);
    if (strcmp(name, "starter") == 0)
        made_unchecked(&made, pid, "it is statically linked", "/bin/static");
    snprintf(path, sizeof path, "%s/brainmm.%u.%llu.%u.bmm", place.path, pid, (unsigned long long)birth, exec_count);
    made_write(&made, path);
}

static struct bmm__report *finish(struct bmm__collection *collection)
{
    return bmm__collection_finish(
        collection, &(struct bmm__run_facts){
                        .main_pid = 4000000, .main_wait_status = 5 << 8, .mode = "check", .command = command });
}

static struct bmm__report *collect(void)
{
    return finish(bmm__collection_make(place.path));
}

Test(collect, main_program_is_first_and_has_the_status)
{
    put(3999999, 0, BMM_SNAPSHOT_EXITED, "child", 1, false);
    put(4000000, 0, BMM_SNAPSHOT_EXECED, "first", 2, false);
    put(4000000, 1, BMM_SNAPSHOT_EXITED, "leaky", 2, false);
    put(4000001, 0, BMM_SNAPSHOT_EXITED, "child", 3, false);
    struct bmm__report *report = collect();
    cr_assert_eq(report->process_count, 4);
    cr_expect_str_eq(report->processes[0].command[0], "leaky");
    cr_expect_eq(report->processes[0].exit, 5);
    cr_expect_str_eq(report->processes[1].command[0], "first");
    cr_expect_eq(report->processes[2].pid, 3999999);
    cr_expect(report->check.ran);
    cr_expect_eq(report->leaked_blocks, 1);
    cr_expect_eq(report->unchecked_count, 0);
    bmm__report_free(report);
}

Test(collect, no_record_is_no_green)
{
    struct bmm__report *report = collect();
    cr_expect_not(report->check.ran);
    cr_expect_not_null(strstr(report->check.reason, "left no record"));
    cr_assert_eq(report->process_count, 1);
    cr_expect_str_eq(report->processes[0].command[0], "program");
    cr_expect_not(report->processes[0].check.ran);
    bmm__report_free(report);
    put(3999999, 0, BMM_SNAPSHOT_EXITED, "child", 1, false);
    report = collect();
    cr_expect_not(report->check.ran, "a child is not the main program");
    cr_expect_eq(report->process_count, 2);
    bmm__report_free(report);
}

Test(collect, a_damaged_record_is_no_green)
{
    put(4000000, 0, BMM_SNAPSHOT_EXITED, "program", 1, true);
    put(4000001, 0, BMM_SNAPSHOT_EXITED, "child", 2, true);
    put(4000002, 0, BMM_SNAPSHOT_EXITED, "leaky", 3, false);
    struct bmm__report *report = collect();
    cr_expect_not(report->check.ran);
    cr_expect_not_null(strstr(report->check.reason, "no BrainMM magic"));
    cr_assert_eq(report->process_count, 2);
    cr_expect_eq(report->leaks[0].process, 1);
    cr_expect_eq(report->note_count, 1);
    bmm__report_free(report);
}

Test(collect, a_program_that_became_another_without_a_record_is_no_green)
{
    put(4000000, 0, BMM_SNAPSHOT_EXECED, "starter", 1, false);
    put(4000001, 0, BMM_SNAPSHOT_EXECED, "child", 2, false);
    struct bmm__report *report = collect();
    cr_expect_not(report->check.ran);
    cr_expect_str_eq(report->check.reason, "it is statically linked");
    cr_assert_eq(report->unchecked_count, 2);
    cr_expect_str_eq(report->unchecked[0].program, "/bin/static");
    cr_expect_eq(report->unchecked[1].pid, 4000001);
    bmm__report_free(report);
}

Test(collect, other_files_are_not_read)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/brainmm.4000000.1.0.bmm.tmp", place.path);
    made_write_bytes(path, "x", 1);
    snprintf(path, sizeof path, "%s/other", place.path);
    made_write_bytes(path, "x", 1);
    struct bmm__report *report = collect();
    cr_expect_eq(report->process_count, 1);
    cr_expect_eq(report->note_count, 0);
    bmm__report_free(report);
}

static uint32_t files_left(void)
{
    uint32_t count = 0;
    char path[PATH_MAX + 64];
    for (uint32_t pid = 3999990; pid < 4000010; pid++) {
        snprintf(path, sizeof path, "%s/brainmm.%u.%u.0.bmm", place.path, pid, pid);
        count += access(path, F_OK) == 0;
    }
    return count;
}

Test(collect, finished_children_are_taken_meanwhile_and_stand_where_they_would)
{
    put(3999998, 0, BMM_SNAPSHOT_EXITED, "leaky", 3999998, false);
    put(3999999, 0, BMM_SNAPSHOT_EXECED, "starter", 3999999, false);
    put(4000000, 0, BMM_SNAPSHOT_EXITED, "program", 4000000, false);
    put(4000001, 0, BMM_SNAPSHOT_EXITED, "late", 4000001, true);
    struct bmm__collection *collection = bmm__collection_make(place.path);
    bmm__collection_thin(collection, 4000000, 4);
    cr_expect_eq(files_left(), 4, "few files wait");
    cr_expect_not(bmm__collection_is_thinned(collection));
    bmm__collection_thin(collection, 4000000, 1);
    cr_expect_eq(files_left(), 1, "the main program's stays");
    cr_expect(bmm__collection_is_thinned(collection));
    put(3999997, 0, BMM_SNAPSHOT_EXITED, "leaky", 3999997, false);
    struct bmm__report *report = finish(collection);
    cr_assert_eq(report->process_count, 4);
    cr_expect_str_eq(report->processes[0].command[0], "program");
    for (uint32_t i = 1; i < 4; i++)
        cr_expect_eq(report->processes[i].pid, 3999996 + i);
    cr_assert_eq(report->leak_count, 2);
    cr_expect_eq(report->leaks[0].process, 1);
    cr_expect_eq(report->leaks[1].process, 2);
    cr_assert_eq(report->unchecked_count, 1);
    cr_expect_eq(report->unchecked[0].process, 3);
    cr_expect_eq(report->note_count, 1, "one could not be read");
    bmm__report_free(report);
}

Test(collect, what_is_still_mapped_stays)
{
    char path[PATH_MAX + 64];
    put(4000001, 0, BMM_SNAPSHOT_EXITED, "child", 4000001, false);
    snprintf(path, sizeof path, "%s/brainmm.4000001.4000001.0.bmm", place.path);
    int file = open(path, O_RDWR | O_CLOEXEC);
    void *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    cr_assert(mapped != MAP_FAILED);
    close(file);
    struct bmm__collection *collection = bmm__collection_make(place.path);
    bmm__collection_thin(collection, 4000000, 0);
    cr_expect_eq(files_left(), 1);
    munmap(mapped, 4096);
    bmm__collection_thin(collection, 4000000, 0);
    cr_expect_eq(files_left(), 0);
    bmm__report_free(finish(collection));
}

/* The main program is another process, of this very program, which the snapshot must name. */
static pid_t own;

static void begin_own(void)
{
    own = fork();
    if (own == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    cr_assert_gt(own, 0);
}

static void end_own(void)
{
    kill(own, SIGKILL);
    waitpid(own, NULL, 0);
}

static void put_own(uint32_t image, uint32_t state, uint32_t is_exiting, uint32_t state_of_second)
{
    char path[PATH_MAX + 64];
    struct made_snapshot made;
    snprintf(path, sizeof path, "%s/brainmm.%d.7.%u.bmm", place.path, (int)own, image);
    made_begin(&made, BMM_MODE_LEAK, state);
    made.header.pid = (uint32_t)own;
    made.header.exec_count = image;
    made.header.is_exiting = is_exiting;
    made_own_modules(&made);
    uint32_t slot = made_span(&made, 0x7f0000000000, 64, 2);
    uint32_t stack = made_node(&made, 0, (uintptr_t)(image == 0 ? setup : teardown) + 1);
    made_block(&made, slot, BMM_SLOT_LIVE, BMM_KIND_MALLOC, 10, stack);
    made_block(&made, slot + 1, state_of_second, BMM_KIND_MALLOC, 20, stack);
    made_write(&made, path);
}

/* The report of the collection, which has one leak of this program. */
static void check_own(struct bmm__collection *collection)
{
    struct bmm__report *report =
        bmm__collection_finish(collection, &(struct bmm__run_facts){ own, 0, "leak", command });
    cr_assert_eq(report->leak_count, 1);
    cr_expect_eq(report->leaked_bytes, 10);
    cr_assert_eq(report->leaks[0].stack->count, 1);
    cr_expect_str_eq(report->leaks[0].stack->frames[0]->function, "setup");
    bmm__report_free(report);
}

Test(collect, stacks_are_made_when_the_exit_hook_has_begun)
{
    begin_own();
    put_own(0, BMM_SNAPSHOT_RUNNING, 0, BMM_SLOT_LIVE);
    struct bmm__collection *collection = bmm__collection_make(place.path);
    cr_expect_null(bmm__collection_awaits(collection));
    bmm__collection_read_ahead(collection, own);
    const uint32_t *is_exiting = bmm__collection_awaits(collection);
    cr_assert_not_null(is_exiting);
    cr_expect_eq(*is_exiting, 0);
    bmm__collection_prepare(collection, own);
    cr_expect_eq(bmm__collection_awaits(collection), is_exiting, "it has not begun");
    put_own(0, BMM_SNAPSHOT_RUNNING, 1, BMM_SLOT_LIVE);
    cr_expect_eq(*is_exiting, 1);
    bmm__collection_prepare(collection, own);
    cr_expect_null(bmm__collection_awaits(collection));
    put_own(0, BMM_SNAPSHOT_EXITED, 1, BMM_SLOT_FREE);
    check_own(collection);
    end_own();
}

Test(collect, the_end_of_the_last_image_is_awaited)
{
    begin_own();
    put_own(0, BMM_SNAPSHOT_RUNNING, 0, BMM_SLOT_LIVE);
    struct bmm__collection *collection = bmm__collection_make(place.path);
    bmm__collection_read_ahead(collection, own);
    bmm__collection_prepare(collection, own);
    put_own(0, BMM_SNAPSHOT_EXECED, 0, BMM_SLOT_FREE);
    bmm__collection_read_ahead(collection, own);
    cr_expect_null(bmm__collection_awaits(collection), "that image is gone");
    put_own(1, BMM_SNAPSHOT_RUNNING, 1, BMM_SLOT_LIVE);
    bmm__collection_read_ahead(collection, own);
    const uint32_t *is_exiting = bmm__collection_awaits(collection);
    cr_assert_not_null(is_exiting);
    cr_expect_eq(*is_exiting, 1);
    bmm__collection_prepare(collection, own);
    cr_expect_null(bmm__collection_awaits(collection));
    put_own(1, BMM_SNAPSHOT_EXITED, 1, BMM_SLOT_FREE);
    put_own(0, BMM_SNAPSHOT_EXECED, 0, BMM_SLOT_FREE);
    struct bmm__report *report =
        bmm__collection_finish(collection, &(struct bmm__run_facts){ own, 0, "leak", command });
    cr_assert_eq(report->leak_count, 2, "one of each image");
    cr_expect_str_eq(report->leaks[0].stack->frames[0]->function, "teardown");
    cr_expect_str_eq(report->leaks[1].stack->frames[0]->function, "setup");
    bmm__report_free(report);
    end_own();
}

Test(collect, a_snapshot_that_is_cut_short_is_told_of)
{
    char path[PATH_MAX + 64];
    begin_own();
    snprintf(path, sizeof path, "%s/brainmm.%d.7.0.bmm", place.path, (int)own);
    put_own(0, BMM_SNAPSHOT_RUNNING, 0, BMM_SLOT_LIVE);
    struct bmm__collection *collection = bmm__collection_make(place.path);
    bmm__collection_read_ahead(collection, own);
    cr_assert_not_null(bmm__collection_awaits(collection));
    cr_assert_eq(truncate(path, 0), 0);
    bmm__collection_prepare(collection, own);
    bmm__collection_read_ahead(collection, own);
    struct bmm__report *report =
        bmm__collection_finish(collection, &(struct bmm__run_facts){ own, 0, "leak", command });
    cr_expect_not(report->check.ran);
    cr_expect_not_null(strstr(report->check.reason, "not a snapshot"));
    bmm__report_free(report);
    end_own();
}

#ifndef __SANITIZE_ADDRESS__ /* which needs more address space than that */
Test(collect, nothing_is_made_ahead_where_memory_is_limited)
{
    begin_own();
    put_own(0, BMM_SNAPSHOT_RUNNING, 1, BMM_SLOT_LIVE);
    struct rlimit limit = { (rlim_t)64 << 30, RLIM_INFINITY };
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    struct bmm__collection *collection = bmm__collection_make(place.path);
    bmm__collection_read_ahead(collection, own);
    cr_expect_null(bmm__collection_awaits(collection));
    put_own(0, BMM_SNAPSHOT_EXITED, 1, BMM_SLOT_FREE);
    check_own(collection);
    end_own();
}
#endif
