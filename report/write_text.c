#define _GNU_SOURCE
#include "report/write_text.h"

#include "report/merge.h"
#include "report/role.h"
#include "report/sentence.h"

#include <inttypes.h>
#include <string.h>

struct writing {
    const struct bmm__report *report;
    FILE *out;
    const struct bmm__text_options *options;
    struct bmm__merged_leaks leaks;
};

static const char *colour(const struct writing *w, const char *code)
{
    return w->options->is_coloured ? code : "";
}
#define BOLD(w) colour(w, "\033[1m")
#define RED(w) colour(w, "\033[1;31m")
#define YELLOW(w) colour(w, "\033[1;33m")
#define GREEN(w) colour(w, "\033[1;32m")
#define PLAIN(w) colour(w, "\033[0m")

/* A control character in a file name or argument must not reach the terminal. */
static void put_clean(FILE *out, const char *text)
{
    for (; *text != 0; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
}

static void put_count(const struct writing *w, uint64_t count, const char *one)
{
    fprintf(w->out, "%" PRIu64 " %s%s", count, one, count == 1 ? "" : "s");
}

static void put_frame(const struct writing *w, const struct bmm__frame *frame, uint32_t number)
{
    fprintf(w->out, "      #%-2" PRIu32 " ", number);
    const char *base = bmm__base_name(frame->module);
    if (frame->function != NULL)
        put_clean(w->out, frame->function);
    else if (base == NULL)
        fprintf(w->out, "0x%" PRIx64, frame->offset);
    if (frame->function == NULL || frame->file == NULL) {
        if (frame->function != NULL && base != NULL)
            fputs("  ", w->out);
        if (base != NULL) {
            put_clean(w->out, base);
            fprintf(w->out, "+0x%" PRIx64, frame->offset);
        }
    }
    if (frame->file != NULL) {
        fputs("  ", w->out);
        put_clean(w->out, frame->file);
        if (frame->line > 0)
            fprintf(w->out, ":%" PRIu32, frame->line);
    }
    fputs(frame->is_inlined ? "  (inlined)\n" : "\n", w->out);
}

/* The line above a stack. thread: by whom, or NULL. */
static void put_title(const struct writing *w, const char *title, const char *thread, const char *ending)
{
    fprintf(w->out, "    %s", title);
    if (thread != NULL) {
        fputs(" by ", w->out);
        put_clean(w->out, thread);
    }
    fprintf(w->out, "%s\n", ending);
}

static void put_stack(const struct writing *w, const struct bmm__stack *stack)
{
    uint32_t top = bmm__stack_top(stack);
    if (top == stack->count)
        top = 0;
    uint32_t bottom = bmm__stack_bottom(stack, top), limit = w->options->frame_limit;
    for (uint32_t i = top; i < bottom; i++) {
        if (limit != 0 && i - top >= limit && bottom - i > 1) {
            fprintf(w->out, "      … %" PRIu32 " more frames\n", bottom - i);
            return;
        }
        put_frame(w, stack->frames[i], i - top);
    }
    if (stack->is_truncated)
        fputs("      … (the stack goes on: it is deeper than the option depth, or could not be followed)\n", w->out);
}

static void put_process(const struct writing *w, uint32_t index)
{
    if (w->report->process_count < 2 || index >= w->report->process_count)
        return;
    const struct bmm__process *process = &w->report->processes[index];
    fprintf(w->out, ", in process %" PRIu32 " (", process->pid);
    put_clean(w->out, process->command_count > 0 ? bmm__base_name(process->command[0]) : "?");
    fputs(")", w->out);
}

static void put_headline(const struct writing *w)
{
    const struct bmm__report *report = w->report;
    const struct bmm__process *main = report->process_count > 0 ? &report->processes[0] : NULL;
    fprintf(w->out, "%sbrainmm:%s ", BOLD(w), PLAIN(w));
    if (main != NULL) {
        put_clean(w->out, main->command_count > 0 ? main->command[0] : "?");
        if (main->pid != 0)
            fprintf(w->out, " (pid %" PRIu32 ")", main->pid);
        fputs(": ", w->out);
    }
    if (!report->check.ran) {
        fprintf(w->out, "%sthe check did not run:%s %s\n", RED(w), PLAIN(w),
                report->check.reason != NULL ? report->check.reason : "reason unknown");
        return;
    }
    bool is_cut = main != NULL && strcmp(main->state, "ended") == 0 && strcmp(report->check.mode, "check") == 0;
    fprintf(w->out, "mode %s, ran%s", report->check.mode, is_cut ? " without the final verification" : "");
    if (report->check.is_incomplete)
        fprintf(w->out, ", %sincomplete%s", RED(w), PLAIN(w));
    const char *good = report->check.is_incomplete ? "" : GREEN(w);
    char word[32];
    if (main != NULL && main->signal != 0)
        fprintf(w->out, ", ended by %s", bmm__signal_word(main->signal, word, sizeof word));
    fputs(": ", w->out);
    if (report->error_count > 0) {
        fputs(RED(w), w->out);
        put_count(w, report->error_count, "error");
        fprintf(w->out, "%s, ", PLAIN(w));
    } else if (strcmp(report->check.mode, "check") == 0) {
        fprintf(w->out, "%sno errors%s, ", good, PLAIN(w));
    }
    if (report->leaked_blocks > 0) {
        fputs(YELLOW(w), w->out);
        put_count(w, w->leaks.count, "leak");
        fprintf(w->out, "%s (", PLAIN(w));
        put_count(w, report->leaked_bytes, "byte");
        fputs(" in ", w->out);
        put_count(w, report->leaked_blocks, "block");
        fputs(")", w->out);
    } else {
        fprintf(w->out, "%sno leaks%s", good, PLAIN(w));
    }
    if (report->process_count > 1)
        fprintf(w->out, " in %" PRIu32 " processes", report->process_count);
    fputs("\n", w->out);
}

/* Opt-in only: it shows what the program wrote. */
static void put_contents(const struct writing *w, const struct bmm__error *error)
{
    if (!w->options->is_contents || error->listed_count == 0)
        return;
    fputs("    found as text: \"", w->out);
    for (uint32_t i = 0; i < error->listed_count; i++) {
        unsigned char byte = error->changed[i].found;
        fputc(byte >= 0x20 && byte < 0x7f ? byte : '.', w->out);
    }
    fputs("\"\n", w->out);
}

static void put_error(const struct writing *w, uint32_t index)
{
    const struct bmm__error *error = &w->report->errors[index];
    char text[320];
    fprintf(w->out, "\n%serror %" PRIu32 " of %" PRIu32 ": %s%s: %s", RED(w), index + 1, w->report->error_count,
            error->kind, PLAIN(w), bmm__error_sentence(error, text, sizeof text));
    put_process(w, error->process);
    if (error->repeats > 1)
        fprintf(w->out, ", %" PRIu32 " times", error->repeats);
    fputs("\n", w->out);
    for (uint32_t i = 0; i < error->listed_count; i++)
        fprintf(w->out, "    %s\n", bmm__changed_sentence(error, &error->changed[i], text, sizeof text));
    if (error->changed_count > error->listed_count)
        fprintf(w->out, "    … %" PRIu32 " more changed bytes\n", error->changed_count - error->listed_count);
    put_contents(w, error);
    /* Of one thread alone there is nothing to say. */
    bool has_threads = error->thread != NULL && error->alloc_thread != NULL && error->thread != error->alloc_thread;
    char title[64];
    snprintf(title, sizeof title, "detected %s %s",
             strcmp(error->moment, "quarantine") == 0 ? "leaving the"
             : strcmp(error->moment, "demand") == 0   ? "on"
                                                      : "at",
             error->moment);
    put_title(w, title, has_threads ? error->thread : NULL, error->detected->count > 0 ? ":" : "");
    put_stack(w, error->detected);
    if (error->allocated->count > 0) {
        put_title(w, "allocated", has_threads ? error->alloc_thread : NULL, " at:");
        put_stack(w, error->allocated);
    }
    if (error->freed->count > 0) {
        put_title(w, "freed", NULL, " at:");
        put_stack(w, error->freed);
    }
}

static void put_leak(const struct writing *w, uint32_t index)
{
    const struct bmm__merged_leak *merged = &w->leaks.rows[index];
    const struct bmm__leak *leak = merged->leak;
    fprintf(w->out, "\n%sleak %" PRIu32 " of %" PRIu32 ":%s ", YELLOW(w), index + 1, w->leaks.count, PLAIN(w));
    put_count(w, merged->bytes, "byte");
    fputs(" in ", w->out);
    put_count(w, merged->blocks, "block");
    if (leak->type != NULL) {
        fputs(" of ", w->out);
        put_clean(w->out, leak->type);
    }
    fprintf(w->out, " (%s, %s)", leak->kind, leak->class);
    put_process(w, leak->process);
    if (merged->process_count > 1)
        fprintf(w->out, " and %" PRIu32 " more", merged->process_count - 1);
    fprintf(w->out, "  [%s]\n", leak->fingerprint);
    if (leak->stack->count == 0)
        fputs("      (no stack was recorded)\n", w->out);
    put_stack(w, leak->stack);
}

/* A build starts the same program a thousand times: it is named once. */
static void put_unchecked(const struct writing *w, uint32_t index)
{
    const struct bmm__report *report = w->report;
    const struct bmm__unchecked *unchecked = &report->unchecked[index];
    uint32_t same_count = 0;
    for (uint32_t i = 0; i < report->unchecked_count; i++) {
        if (report->unchecked[i].program == unchecked->program && report->unchecked[i].reason == unchecked->reason) {
            if (i < index)
                return;
            same_count++;
        }
    }
    fputs("not checked: ", w->out);
    put_clean(w->out, unchecked->program[0] != 0 ? unchecked->program : "a child");
    if (same_count > 1)
        fprintf(w->out, " (%" PRIu32 " times)", same_count);
    else if (unchecked->pid != 0)
        fprintf(w->out, " (pid %" PRIu32 ")", unchecked->pid);
    fprintf(w->out, ": %s\n", unchecked->reason);
}

static void put_note(const struct writing *w, const struct bmm__note *note)
{
    const struct bmm__report *report = w->report;
    fputs("note: ", w->out);
    if (note->process_count > 1)
        fprintf(w->out, "%" PRIu32 " processes: ", note->process_count);
    else if (note->process < report->process_count && report->process_count > 1)
        fprintf(w->out, "process %" PRIu32 ": ", report->processes[note->process].pid);
    put_clean(w->out, note->text);
    fputs("\n", w->out);
}

static void put_rest(const struct writing *w)
{
    const struct bmm__report *report = w->report;
    if (report->runtime_blocks > 0) {
        fputs("not counted: ", w->out);
        put_count(w, report->runtime_bytes, "byte");
        fputs(" in ", w->out);
        put_count(w, report->runtime_blocks, "block");
        fputs(" that libc and the loader keep for themselves\n", w->out);
    }
    if (report->expected_blocks > 0) {
        fputs("expected: ", w->out);
        put_count(w, report->expected_bytes, "byte");
        fputs(" in ", w->out);
        put_count(w, report->expected_blocks, "block");
        fputs(" that the program said it would leave\n", w->out);
    }
    for (uint32_t i = 0; i < report->unchecked_count; i++)
        put_unchecked(w, i);
    for (uint32_t i = 0; i < report->note_count; i++)
        put_note(w, &report->notes[i]);
}

void bmm__write_text(const struct bmm__report *report, FILE *out, const struct bmm__text_options *options)
{
    struct writing w = { report, out, options, bmm__merge_leaks(report) };
    put_headline(&w);
    for (uint32_t i = 0; i < report->error_count; i++) {
        if (options->error_limit != 0 && i >= options->error_limit) {
            fprintf(out, "\n… %" PRIu32 " more errors (--all shows them)\n", report->error_count - i);
            break;
        }
        put_error(&w, i);
    }
    for (uint32_t i = 0; i < w.leaks.count; i++) {
        if (options->leak_limit != 0 && i >= options->leak_limit) {
            fprintf(out, "\n… %" PRIu32 " more leaks (--all shows them)\n", w.leaks.count - i);
            break;
        }
        put_leak(&w, i);
    }
    if (report->error_count + w.leaks.count > 0)
        fputs("\n", out);
    put_rest(&w);
    bmm__merged_leaks_free(&w.leaks);
}
