#include "report/write_json.h"

#include "report/json_text.h"
#include "report/role.h"
#include "report/sentence.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct writing {
    const struct bmm__report *report;
    FILE *out;
    struct bmm__json_texts texts;
};

/* ---- members ---- */

static void add_text(cJSON *object, const char *key, const char *text)
{
    if (text != NULL)
        cJSON_AddStringToObject(object, key, text);
    else
        cJSON_AddNullToObject(object, key);
}

/* Through text: cJSON's own numbers are doubles. */
static void add_number(cJSON *object, const char *key, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    cJSON_AddRawToObject(object, key, text);
}

static void add_number_or_null(cJSON *object, const char *key, uint64_t number)
{
    if (number != 0)
        add_number(object, key, number);
    else
        cJSON_AddNullToObject(object, key);
}

static void add_signed(cJSON *object, const char *key, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    cJSON_AddRawToObject(object, key, text);
}

static void add_address(cJSON *object, const char *key, uint64_t address)
{
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, address);
    cJSON_AddStringToObject(object, key, text);
}

static void add_check(cJSON *object, const struct bmm__check *check)
{
    cJSON *member = cJSON_AddObjectToObject(object, "check");
    add_text(member, "mode", check->mode);
    cJSON_AddBoolToObject(member, "ran", check->ran);
    cJSON_AddBoolToObject(member, "incomplete", check->is_incomplete);
    add_text(member, "reason", check->reason);
}

/* ---- printing ---- */

/* One record on a line of its own: the file can be read with line tools, too. */
static void put(struct writing *w, cJSON *object, uint32_t index)
{
    char *text = bmm__json_print(object);
    fputs(index == 0 ? "\n" : ",\n", w->out);
    fputs(text, w->out);
    free(text);
}

static void put_object(struct writing *w, const char *key, cJSON *object)
{
    char *text = bmm__json_print(object);
    fprintf(w->out, "\"%s\":%s,\n", key, text);
    free(text);
}

/* Leaks stand in order, their stacks somewhere: what is needed next is fetched while others are written. */
static inline void fetch_ahead(const struct bmm__leak *leaks, uint32_t i, uint32_t count)
{
    if (i + 8 < count) {
        __builtin_prefetch(leaks[i + 8].stack);
        __builtin_prefetch(leaks[i + 8].fingerprint);
    }
    if (i + 4 < count) {
        const struct bmm__stack *stack = leaks[i + 4].stack;
        for (uint32_t k = 0; k < stack->count; k += 8)
            __builtin_prefetch(stack->frames + k);
    }
}

static void put_frames(struct writing *w)
{
    const struct bmm__report *report = w->report;
    fputs("\"frames\":[", w->out);
    for (uint32_t i = 0; i < report->leak_count; i++) {
        fetch_ahead(report->leaks, i, report->leak_count);
        bmm__json_write_frames(&w->texts, w->out, report->leaks[i].stack);
    }
    for (uint32_t i = 0; i < report->error_count; i++) {
        bmm__json_write_frames(&w->texts, w->out, report->errors[i].detected);
        bmm__json_write_frames(&w->texts, w->out, report->errors[i].allocated);
        bmm__json_write_frames(&w->texts, w->out, report->errors[i].freed);
    }
    for (uint32_t i = 0; i < report->runtime_count; i++)
        bmm__json_write_frames(&w->texts, w->out, report->runtime[i].stack);
    for (uint32_t i = 0; i < report->expected_count; i++)
        bmm__json_write_frames(&w->texts, w->out, report->expected[i].stack);
    fputs("],\n", w->out);
}

static void add_stack(struct writing *w, cJSON *object, const char *key, const struct bmm__stack *stack)
{
    bmm__json_put_stack(&w->texts, stack);
    cJSON_AddRawToObject(object, key, bmm__json_take_line(&w->texts));
}

/* ---- records ---- */

static cJSON *process_object(const struct bmm__process *process)
{
    cJSON *object = cJSON_CreateObject();
    add_number_or_null(object, "pid", process->pid);
    add_number_or_null(object, "ppid", process->ppid);
    cJSON *command = cJSON_AddArrayToObject(object, "command");
    for (uint32_t i = 0; i < process->command_count; i++)
        cJSON_AddItemToArray(command, cJSON_CreateString(process->command[i]));
    if (process->has_exit)
        add_signed(object, "exit", process->exit);
    else
        cJSON_AddNullToObject(object, "exit");
    if (process->signal != 0)
        add_signed(object, "signal", process->signal);
    else
        cJSON_AddNullToObject(object, "signal");
    add_check(object, &process->check);
    add_text(object, "state", process->state);
    add_number(object, "exec_count", process->exec_count);
    cJSON_AddBoolToObject(object, "forked", process->is_forked);
    add_number(object, "start_unix_ns", process->start_unix_ns);
    add_number(object, "exit_unix_ns", process->exit_unix_ns);
    add_number(object, "allocations", process->alloc_count);
    add_number(object, "frees", process->free_count);
    add_number(object, "peak_bytes", process->peak_bytes);
    cJSON *modules = cJSON_AddArrayToObject(object, "modules");
    for (uint32_t i = 0; i < process->module_count; i++) {
        const struct bmm__module *module = &process->modules[i];
        cJSON *member = cJSON_CreateObject();
        add_text(member, "path", module->path);
        add_text(member, "build_id", module->build_id[0] != 0 ? module->build_id : NULL);
        add_address(member, "start", module->start);
        add_address(member, "end", module->end);
        cJSON_AddItemToArray(modules, member);
    }
    return object;
}

static cJSON *error_object(struct writing *w, const struct bmm__error *error)
{
    char text[320];
    cJSON *object = cJSON_CreateObject();
    add_number(object, "process", error->process);
    add_text(object, "kind", error->kind);
    add_address(object, "address", error->address);
    add_number(object, "size", error->size);
    cJSON *changed = cJSON_AddArrayToObject(object, "changed");
    for (uint32_t i = 0; i < error->listed_count; i++) {
        cJSON *member = cJSON_CreateObject();
        add_signed(member, "offset", error->changed[i].offset);
        snprintf(text, sizeof text, "0x%02x", error->changed[i].expected);
        add_text(member, "expected", text);
        snprintf(text, sizeof text, "0x%02x", error->changed[i].found);
        add_text(member, "found", text);
        cJSON_AddItemToArray(changed, member);
    }
    add_number(object, "changed_count", error->changed_count);
    add_text(object, "message", bmm__error_sentence(error, text, sizeof text));
    add_text(object, "moment", error->moment);
    add_number(object, "repeats", error->repeats);
    add_text(object, "fingerprint", error->fingerprint);
    add_address(object, "block", error->block);
    add_number(object, "align", error->align);
    add_number(object, "given_size", error->given_size);
    add_number(object, "given_align", error->given_align);
    add_text(object, "alloc_kind", error->alloc_kind);
    add_text(object, "free_kind", error->free_kind);
    add_text(object, "thread", error->thread);
    add_text(object, "alloc_thread", error->alloc_thread);
    add_number(object, "time_ns", error->time_ns);
    cJSON *stacks = cJSON_AddObjectToObject(object, "stacks");
    add_stack(w, stacks, "detected", error->detected);
    add_stack(w, stacks, "allocated", error->allocated);
    add_stack(w, stacks, "freed", error->freed);
    return object;
}

static cJSON *unchecked_object(const struct bmm__unchecked *unchecked)
{
    cJSON *object = cJSON_CreateObject();
    add_number(object, "process", unchecked->process);
    add_number_or_null(object, "pid", unchecked->pid);
    add_text(object, "program", unchecked->program);
    add_text(object, "reason", unchecked->reason);
    return object;
}

static cJSON *note_object(const struct bmm__note *note)
{
    cJSON *object = cJSON_CreateObject();
    if (note->process != BMM__NO_PROCESS) {
        add_number(object, "process", note->process);
        add_number(object, "processes", note->process_count);
    } else {
        cJSON_AddNullToObject(object, "process");
    }
    add_text(object, "text", note->text);
    return object;
}

/* ---- the whole ---- */

static void put_array(struct writing *w, const char *key, bool is_last, uint32_t count,
                      cJSON *(*make)(struct writing *w, uint32_t index))
{
    fprintf(w->out, "\"%s\":[", key);
    for (uint32_t i = 0; i < count; i++)
        put(w, make(w, i), i);
    fputs(is_last ? "]\n" : "],\n", w->out);
}

/* Digits and colons alone. What is read from a file may be any text. */
static bool is_plain(const char *fingerprint)
{
    while ((*fingerprint >= '0' && *fingerprint <= '9') || (*fingerprint >= 'a' && *fingerprint <= 'f') ||
           *fingerprint == ':')
        fingerprint++;
    return *fingerprint == 0;
}

/* Each leak has its own, mostly: not worth keeping. */
static void put_fingerprint(struct bmm__json_texts *texts, const char *fingerprint)
{
    if (fingerprint != NULL && is_plain(fingerprint)) {
        bmm__json_put(texts, "\"");
        bmm__json_put(texts, fingerprint);
        bmm__json_put(texts, "\"");
    } else {
        bmm__json_put_text(texts, fingerprint);
    }
}

static void put_text(struct bmm__json_texts *texts, const char *key, const char *text)
{
    bmm__json_put(texts, key);
    bmm__json_put_text(texts, text);
}

static void put_number(struct bmm__json_texts *texts, const char *key, uint64_t number)
{
    bmm__json_put(texts, key);
    bmm__json_put_number(texts, number);
}

/* There may be many thousands: printed without an object of each, and without a format, which takes longer than the text. */
static void put_leak(struct bmm__json_texts *texts, const struct bmm__leak *leak)
{
    const struct bmm__stack *stack = leak->stack;
    put_number(texts, "{\"process\":", leak->process);
    put_text(texts, ",\"class\":", leak->class);
    put_text(texts, ",\"kind\":", leak->kind);
    if (leak->type != NULL)
        put_text(texts, ",\"type\":", leak->type);
    put_number(texts, ",\"bytes\":", leak->bytes);
    put_number(texts, ",\"blocks\":", leak->blocks);
    bmm__json_put(texts, ",\"fingerprint\":");
    put_fingerprint(texts, leak->fingerprint);
    bmm__json_put(texts, stack->is_truncated ? ",\"truncated\":true,\"site\":" : ",\"site\":");
    if (stack->count == 0) {
        bmm__json_put(texts, "null");
    } else { /* what most people ask a leak for, so that they need not look up its frames */
        bmm__json_put(texts, "{");
        bmm__json_put_place(texts, stack->frames[bmm__stack_site(stack)]);
        bmm__json_put(texts, "}");
    }
    bmm__json_put(texts, ",\"stack\":");
    bmm__json_put_stack(texts, stack);
    bmm__json_put(texts, "}");
}

static void put_leaks(struct writing *w, const char *key, uint32_t count, const struct bmm__leak *leaks)
{
    fprintf(w->out, "\"%s\":[", key);
    for (uint32_t i = 0; i < count; i++) {
        fetch_ahead(leaks, i, count);
        bmm__json_put(&w->texts, i == 0 ? "\n" : ",\n");
        put_leak(&w->texts, &leaks[i]);
        bmm__json_write_line(&w->texts, w->out);
    }
    fputs("],\n", w->out);
}

static cJSON *make_process(struct writing *w, uint32_t i)
{
    return process_object(&w->report->processes[i]);
}

static cJSON *make_error(struct writing *w, uint32_t i)
{
    return error_object(w, &w->report->errors[i]);
}

static cJSON *make_unchecked(struct writing *w, uint32_t i)
{
    return unchecked_object(&w->report->unchecked[i]);
}

static cJSON *make_note(struct writing *w, uint32_t i)
{
    return note_object(&w->report->notes[i]);
}

static cJSON *summary_object(const struct bmm__report *report)
{
    cJSON *object = cJSON_CreateObject();
    add_number(object, "leaked_bytes", report->leaked_bytes);
    add_number(object, "leaked_blocks", report->leaked_blocks);
    add_number(object, "errors", report->error_count);
    add_number(object, "leaks", report->leak_count);
    add_number(object, "runtime_bytes", report->runtime_bytes);
    add_number(object, "runtime_blocks", report->runtime_blocks);
    add_number(object, "expected_bytes", report->expected_bytes);
    add_number(object, "expected_blocks", report->expected_blocks);
    return object;
}

void bmm__write_json(const struct bmm__report *report, FILE *out)
{
    struct writing w = { .report = report, .out = out };
    fprintf(out, "{\"format\":\"%s\",\"version\":%d,\n", BMM__REPORT_FORMAT, BMM__JSON_VERSION);
    cJSON *check = cJSON_CreateObject();
    add_check(check, &report->check);
    put_object(&w, "check", cJSON_DetachItemFromObject(check, "check"));
    cJSON_Delete(check);
    put_array(&w, "processes", false, report->process_count, make_process);
    put_object(&w, "summary", summary_object(report));
    put_frames(&w);
    put_leaks(&w, "leaks", report->leak_count, report->leaks);
    put_array(&w, "errors", false, report->error_count, make_error);
    put_leaks(&w, "runtime", report->runtime_count, report->runtime);
    put_leaks(&w, "expected", report->expected_count, report->expected);
    put_array(&w, "unchecked", false, report->unchecked_count, make_unchecked);
    put_array(&w, "notes", true, report->note_count, make_note);
    fputs("}\n", out);
    bmm__json_texts_free(&w.texts);
}
