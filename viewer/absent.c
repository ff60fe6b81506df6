#include "viewer/absent.h"

void bmm__absent_add(struct bmm__report *report, const struct bmm__absent *program)
{
    struct bmm__process *process = bmm__report_add_process(report);
    process->pid = program->pid;
    process->state = bmm__intern(&report->strings, program->state);
    process->check.mode = bmm__intern(&report->strings, program->mode);
    while (program->command[process->command_count] != NULL)
        process->command_count++;
    process->command = bmm__arena_zero(&report->arena, process->command_count, sizeof *process->command);
    for (uint32_t i = 0; i < process->command_count; i++)
        process->command[i] = bmm__intern(&report->strings, program->command[i]);
}

struct bmm__report *bmm__absent_report(const struct bmm__absent *program, const char *reason)
{
    struct bmm__report *report = bmm__report_make();
    bmm__absent_add(report, program);
    report->check =
        (struct bmm__check){ .mode = report->processes[0].check.mode, .reason = bmm__intern(&report->strings, reason) };
    report->processes[0].check = report->check;
    bmm__report_finish(report);
    return report;
}
