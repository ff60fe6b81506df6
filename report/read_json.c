/* A JSON report read back, as one cJSON tree: for reports of the sizes that people look at. What is missing or of the
 * wrong type counts as absent; only what makes the file no report of ours is an error. */
#include "report/load.h"
#include "report/role.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    struct bmm__report *report;
    uint32_t process_base;  /* number of the file's process 0 in the report */
    uint32_t process_count; /* in the file */
    struct bmm__frame *frames;
    uint32_t frame_count;
};

static const char *text_or_null(struct reading *r, const cJSON *object, const char *key)
{
    return bmm__intern(&r->report->strings, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key)));
}

static const char *text_of(struct reading *r, const cJSON *object, const char *key)
{
    const char *text = text_or_null(r, object, key);
    return text != NULL ? text : bmm__intern(&r->report->strings, "");
}

static uint64_t number_of(const cJSON *object, const char *key)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsNumber(member) || !(member->valuedouble > 0))
        return 0;
    return member->valuedouble < 18446744073709549568.0 ? (uint64_t)member->valuedouble : UINT64_MAX;
}

static uint32_t small_of(const cJSON *object, const char *key)
{
    uint64_t number = number_of(object, key);
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

static uint64_t address_of(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return text != NULL ? strtoull(text, NULL, 0) : 0;
}

static bool is_true(const cJSON *object, const char *key)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

/* The process a record names, as a number of the report; out of range: process 0 of the file (P1). */
static uint32_t process_of(const struct reading *r, const cJSON *object)
{
    uint32_t process = small_of(object, "process");
    return r->process_base + (process < r->process_count ? process : 0);
}

static struct bmm__check check_of(struct reading *r, const cJSON *object)
{
    return (struct bmm__check){ text_of(r, object, "mode"), is_true(object, "ran"), text_or_null(r, object, "reason"),
                                is_true(object, "incomplete") };
}

static void read_frames(struct reading *r, const cJSON *array)
{
    const cJSON *object;
    r->frames = bmm__arena_zero(&r->report->arena, (size_t)cJSON_GetArraySize(array), sizeof *r->frames);
    cJSON_ArrayForEach(object, array)
    {
        const char *module = text_or_null(r, object, "module");
        struct bmm__frame *frame = &r->frames[r->frame_count++];
        *frame = (struct bmm__frame){ .function = text_or_null(r, object, "function"),
                                      .file = text_or_null(r, object, "file"),
                                      .module = module,
                                      .offset = address_of(object, "offset"),
                                      .line = small_of(object, "line"),
                                      .role = (uint8_t)bmm__role_of_module(module),
                                      .is_inlined = is_true(object, "inlined") };
        bmm__frame_settle(frame);
    }
}

/* Numbers of frames that are not there are left out. */
static const struct bmm__stack *stack_of(struct reading *r, const cJSON *array, bool is_truncated)
{
    size_t capacity = (size_t)cJSON_GetArraySize(array);
    const struct bmm__frame **list = bmm__arena_zero(&r->report->arena, capacity, sizeof *list);
    const cJSON *number;
    uint32_t count = 0;
    cJSON_ArrayForEach(number, array)
    {
        if (cJSON_IsNumber(number) && number->valuedouble >= 0 && number->valuedouble < r->frame_count)
            list[count++] = &r->frames[(uint32_t)number->valuedouble];
    }
    if (count == 0)
        return &bmm__no_stack;
    struct bmm__stack *stack = bmm__arena_alloc(&r->report->arena, sizeof *stack);
    *stack = (struct bmm__stack){ list, count, is_truncated };
    return stack;
}

static void read_process(struct reading *r, const cJSON *object)
{
    struct bmm__process *process = bmm__report_add_process(r->report);
    process->pid = small_of(object, "pid");
    process->ppid = small_of(object, "ppid");
    process->exec_count = small_of(object, "exec_count");
    const cJSON *command = cJSON_GetObjectItemCaseSensitive(object, "command"), *member;
    process->command =
        bmm__arena_zero(&r->report->arena, (size_t)cJSON_GetArraySize(command), sizeof *process->command);
    cJSON_ArrayForEach(member, command)
    {
        const char *text = bmm__intern(&r->report->strings, cJSON_GetStringValue(member));
        process->command[process->command_count++] = text != NULL ? text : bmm__intern(&r->report->strings, "");
    }
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(object, "exit");
    process->has_exit = cJSON_IsNumber(status);
    process->exit = process->has_exit ? status->valueint : 0;
    process->signal = (int)(small_of(object, "signal") & 0x7f);
    process->check = check_of(r, cJSON_GetObjectItemCaseSensitive(object, "check"));
    process->state = text_of(r, object, "state");
    process->is_forked = is_true(object, "forked");
    process->start_unix_ns = number_of(object, "start_unix_ns");
    process->exit_unix_ns = number_of(object, "exit_unix_ns");
    process->alloc_count = number_of(object, "allocations");
    process->free_count = number_of(object, "frees");
    process->peak_bytes = number_of(object, "peak_bytes");
    const cJSON *modules = cJSON_GetObjectItemCaseSensitive(object, "modules");
    process->modules =
        bmm__arena_zero(&r->report->arena, (size_t)cJSON_GetArraySize(modules), sizeof *process->modules);
    cJSON_ArrayForEach(member, modules)
    {
        process->modules[process->module_count++] =
            (struct bmm__module){ text_of(r, member, "path"), address_of(member, "start"), address_of(member, "end"),
                                  text_of(r, member, "build_id") };
    }
}

static void read_leak(struct reading *r, const cJSON *object, enum bmm__leak_list list)
{
    *bmm__report_add_leak(r->report, list) =
        (struct bmm__leak){ process_of(r, object),
                            text_of(r, object, "class"),
                            text_of(r, object, "kind"),
                            text_or_null(r, object, "type"),
                            number_of(object, "bytes"),
                            number_of(object, "blocks"),
                            text_of(r, object, "fingerprint"),
                            stack_of(r, cJSON_GetObjectItemCaseSensitive(object, "stack"),
                                     is_true(object, "truncated")) };
}

static void read_error(struct reading *r, const cJSON *object)
{
    struct bmm__error *error = bmm__report_add_error(r->report);
    error->process = process_of(r, object);
    error->kind = text_of(r, object, "kind");
    error->moment = text_of(r, object, "moment");
    error->repeats = small_of(object, "repeats") > 0 ? small_of(object, "repeats") : 1;
    error->address = address_of(object, "address");
    error->block = address_of(object, "block");
    error->size = number_of(object, "size");
    error->given_size = number_of(object, "given_size");
    error->given_align = number_of(object, "given_align");
    error->align = number_of(object, "align");
    error->alloc_kind = text_of(r, object, "alloc_kind");
    error->free_kind = text_of(r, object, "free_kind");
    error->thread = text_or_null(r, object, "thread");
    error->alloc_thread = text_or_null(r, object, "alloc_thread");
    error->time_ns = number_of(object, "time_ns");
    error->fingerprint = text_of(r, object, "fingerprint");
    const cJSON *change;
    cJSON_ArrayForEach(change, cJSON_GetObjectItemCaseSensitive(object, "changed"))
    {
        const cJSON *offset = cJSON_GetObjectItemCaseSensitive(change, "offset");
        if (error->listed_count < BMM__CHANGED_MAX && cJSON_IsNumber(offset))
            error->changed[error->listed_count++] =
                (struct bmm__changed){ (int64_t)offset->valuedouble, (uint8_t)address_of(change, "expected"),
                                       (uint8_t)address_of(change, "found") };
    }
    error->changed_count = small_of(object, "changed_count");
    if (error->changed_count < error->listed_count)
        error->changed_count = error->listed_count;
    const cJSON *stacks = cJSON_GetObjectItemCaseSensitive(object, "stacks");
    error->detected = stack_of(r, cJSON_GetObjectItemCaseSensitive(stacks, "detected"), false);
    error->allocated = stack_of(r, cJSON_GetObjectItemCaseSensitive(stacks, "allocated"), false);
    error->freed = stack_of(r, cJSON_GetObjectItemCaseSensitive(stacks, "freed"), false);
}

static void read_all(struct reading *r, const cJSON *root)
{
    const cJSON *object;
    cJSON_ArrayForEach(object, cJSON_GetObjectItemCaseSensitive(root, "processes"))
    {
        read_process(r, object);
        r->process_count++;
    }
    /* Read first, so that it is known when process 0 of a check that did not run has no entry. */
    if (r->process_base == 0)
        r->report->check = check_of(r, cJSON_GetObjectItemCaseSensitive(root, "check"));
    cJSON_ArrayForEach(object, cJSON_GetObjectItemCaseSensitive(root, "notes"))
    {
        bool is_of_process = cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(object, "process"));
        uint32_t count = small_of(object, "processes");
        bmm__report_add_notes(r->report, is_of_process ? process_of(r, object) : BMM__NO_PROCESS, count > 0 ? count : 1,
                              text_of(r, object, "text"));
    }
    if (r->process_count == 0)
        return;
    read_frames(r, cJSON_GetObjectItemCaseSensitive(root, "frames"));
    cJSON_ArrayForEach(object, cJSON_GetObjectItemCaseSensitive(root, "leaks")) read_leak(r, object, BMM__LEAKS);
    cJSON_ArrayForEach(object, cJSON_GetObjectItemCaseSensitive(root, "runtime")) read_leak(r, object, BMM__RUNTIME);
    cJSON_ArrayForEach(object, cJSON_GetObjectItemCaseSensitive(root, "expected")) read_leak(r, object, BMM__EXPECTED);
    cJSON_ArrayForEach(object, cJSON_GetObjectItemCaseSensitive(root, "errors")) read_error(r, object);
    cJSON_ArrayForEach(object, cJSON_GetObjectItemCaseSensitive(root, "unchecked")) *
        bmm__report_add_unchecked(r->report) =
        (struct bmm__unchecked){ process_of(r, object), small_of(object, "pid"), text_of(r, object, "program"),
                                 text_of(r, object, "reason") };
}

static char *read_file(const char *path, size_t *bytes, struct bmm__why *why)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    uint32_t capacity = 0;
    *bytes = 0;
    while (file != NULL && !feof(file) && !ferror(file) && *bytes < UINT32_MAX / 4) {
        text = bmm__grow(text, &capacity, *bytes + 65536, 1);
        *bytes += fread(text + *bytes, 1, 65536, file);
    }
    if (file == NULL || ferror(file) || !feof(file)) {
        bmm__fail(why, "%s: %s", path, strerror(file != NULL && !ferror(file) ? EFBIG : errno));
        free(text);
        text = NULL;
    }
    if (file != NULL)
        fclose(file);
    return text;
}

bool bmm__read_json(struct bmm__report *report, const char *path, struct bmm__why *why)
{
    size_t bytes;
    char *text = read_file(path, &bytes, why);
    if (text == NULL)
        return false;
    cJSON *root = cJSON_ParseWithLength(text, bytes);
    free(text);
    const char *format = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "format"));
    bool is_read = false;
    if (root == NULL)
        bmm__fail(why, "%s: not JSON, or cut short", path);
    else if (format == NULL || strcmp(format, BMM__REPORT_FORMAT) != 0)
        bmm__fail(why, "%s: JSON, but no %s", path, BMM__REPORT_FORMAT);
    else if (number_of(root, "version") != BMM__JSON_VERSION)
        bmm__fail(why, "%s: report version %llu, this viewer reads %d", path,
                  (unsigned long long)number_of(root, "version"), BMM__JSON_VERSION);
    else
        is_read = true;
    if (is_read)
        read_all(&(struct reading){ .report = report, .process_base = report->process_count }, root);
    cJSON_Delete(root);
    return is_read;
}
