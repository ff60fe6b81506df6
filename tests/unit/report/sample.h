/* A report by hand that has something of everything, with nothing of this machine in it: for golden files and for
 * writing and reading back. */
#ifndef BMM_TESTS_SAMPLE_H
#define BMM_TESTS_SAMPLE_H

#include "report/report.h"
#include "report/role.h"

#include <string.h>

static inline const struct bmm__stack *sample_stack(struct bmm__report *report, const struct bmm__frame *frames,
                                                    uint32_t count, bool is_truncated)
{
    struct bmm__frame *kept = bmm__arena_alloc(&report->arena, count * sizeof *kept);
    const struct bmm__frame **list = bmm__arena_alloc(&report->arena, count * sizeof *list);
    for (uint32_t i = 0; i < count; i++) {
        kept[i] = frames[i];
        kept[i].role = (uint8_t)bmm__role_of_module(frames[i].module);
        bmm__frame_settle(&kept[i]);
        list[i] = &kept[i];
    }
    struct bmm__stack *stack = bmm__arena_alloc(&report->arena, sizeof *stack);
    *stack = (struct bmm__stack){ list, count, is_truncated };
    return stack;
}

static inline struct bmm__report *sample_report(void)
{
    struct bmm__report *report = bmm__report_make();
    static const char *command[] = { "/usr/bin/guests", "--party", "a \"quoted\" one" };
    static struct bmm__module modules[] = { { "/usr/bin/guests", 0x400000, 0x410000, "00ff10" },
                                            { "/usr/lib/libc.so.6", 0x7f0000000000, 0x7f0000200000, "" } };
    struct bmm__process *process = bmm__report_add_process(report);
    *process = (struct bmm__process){ .pid = 100,
                                      .ppid = 99,
                                      .command = command,
                                      .command_count = 3,
                                      .signal = 11,
                                      .check = { .mode = "check", .ran = true },
                                      .state = "ended",
                                      .start_unix_ns = 1700000000123456789u,
                                      .alloc_count = 12,
                                      .free_count = 9,
                                      .peak_bytes = 4096,
                                      .modules = modules,
                                      .module_count = 2,
                                      .module_capacity = 2 };
    static const char *child_command[] = { "sh" };
    *bmm__report_add_process(report) = (struct bmm__process){ .pid = 101,
                                                              .ppid = 100,
                                                              .exec_count = 1,
                                                              .command = child_command,
                                                              .command_count = 1,
                                                              .has_exit = true,
                                                              .exit = 3,
                                                              .check = { .mode = "off", .reason = "mode off" },
                                                              .state = "exited",
                                                              .is_forked = true };
    const struct bmm__stack *invite = sample_stack(
        report,
        (struct bmm__frame[]){
            { .function = "strdup", .module = "/usr/lib/libc.so.6", .offset = 0x8f0a1 },
            { .function = "copy(char const*)",
              .file = "guests.cc",
              .line = 7,
              .module = "/usr/bin/guests",
              .offset = 0x1234,
              .is_inlined = true },
            { .function = "invite", .file = "guests.cc", .line = 11, .module = "/usr/bin/guests", .offset = 0x1234 },
            { .function = "main", .file = "guests.cc", .line = 40, .module = "/usr/bin/guests", .offset = 0x1300 },
            { .function = "__libc_start_main", .module = "/usr/lib/libc.so.6", .offset = 0x27000 },
            { .function = "_start", .module = "/usr/bin/guests", .offset = 0x1000 } },
        6, false);
    const struct bmm__stack *nameless = sample_stack(
        report, (struct bmm__frame[]){ { .module = "/opt/plugin.so", .offset = 0x77 }, { .offset = 0x7fff12345678 } },
        2, true);
    *bmm__report_add_leak(report, BMM__LEAKS) =
        (struct bmm__leak){ 0, "unfreed", "malloc", NULL, 30, 3, "1:00000000000000a1", invite };
    *bmm__report_add_leak(report, BMM__LEAKS) =
        (struct bmm__leak){ 1,       "unfreed", "new[]", "ns::Guest<int>", 9007199254740993u, 1, "1:00000000000000a2",
                            nameless };
    *bmm__report_add_leak(report, BMM__EXPECTED) =
        (struct bmm__leak){ 0, "expected", "malloc", NULL, 100, 2, "1:00000000000000e1", invite };
    *bmm__report_add_leak(report, BMM__RUNTIME) =
        (struct bmm__leak){ 0, "unfreed", "malloc", NULL, 4096, 1, "1:00000000000000a3", &bmm__no_stack };
    struct bmm__error *error = bmm__report_add_error(report);
    error->process = 0;
    error->kind = "heap-overflow";
    error->moment = "exit";
    error->address = error->block = 0x7f1234567890;
    error->size = 10;
    error->align = 16;
    error->alloc_kind = "malloc";
    error->free_kind = "free";
    error->thread = "guests";
    error->time_ns = 5000;
    error->changed_count = 20;
    error->listed_count = 2;
    error->changed[0] = (struct bmm__changed){ 10, 0xfd, 'A' };
    error->changed[1] = (struct bmm__changed){ 12, 0xfd, 0 };
    error->allocated = invite;
    error->fingerprint = "1:00000000000000b1";
    error = bmm__report_add_error(report);
    error->process = 1;
    error->kind = "sized-delete-mismatch";
    error->moment = "free";
    error->repeats = 4;
    error->address = error->block = 0xffffffffffff0000u;
    error->size = 32;
    error->given_size = 16;
    error->align = 16;
    error->alloc_kind = "new";
    error->free_kind = "delete";
    error->detected = nameless;
    error->allocated = invite;
    error->freed = nameless;
    error->fingerprint = "1:00000000000000b2";
    *bmm__report_add_unchecked(report) = (struct bmm__unchecked){ 0, 102, "/bin/static", "it is statically linked" };
    *bmm__report_add_unchecked(report) = (struct bmm__unchecked){ 1, 0, "", "became a program that left no record" };
    bmm__report_add_note(report, 0, "ended without its exit hook");
    bmm__report_add_note(report, 1, "ended without its exit hook");
    bmm__report_add_note(report, BMM__NO_PROCESS, "no lines for plugin.so");
    bmm__report_finish(report);
    return report;
}

#endif
