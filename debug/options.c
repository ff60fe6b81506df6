/* See options.h. A table of keys, and one function per type of value. */
#include "options.h"

#include "core/text.h"

#include "core/os.h"

#include <string.h>

struct bmm__options bmm__options;

static bool parse_mode(struct bmm__options *options, const char *value)
{
    static const char *const names[] = { "off", "leak", "check" };
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(value, names[i]) == 0) {
            options->mode = (enum bmm_mode)i;
            return true;
        }
    }
    return false;
}

static bool parse_switch(bool *is_on, const char *value)
{
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
        return false;
    *is_on = value[1] == 'n';
    return true;
}

/* Digits with an optional K, M or G. Not strtoull: libc's locale may not be there yet. */
static bool parse_bytes(uint64_t *number, const char *value, uint64_t max)
{
    uint64_t n = 0;
    if (*value < '0' || *value > '9')
        return false;
    for (; *value >= '0' && *value <= '9'; value++) {
        if (n > max / 10)
            return false;
        n = n * 10 + (uint64_t)(*value - '0');
    }
    unsigned shift = *value == 'K' ? 10 : *value == 'M' ? 20 : *value == 'G' ? 30 : 0;
    if (shift != 0)
        value++;
    if (*value != '\0' || n > max >> shift)
        return false;
    *number = n << shift;
    return true;
}

static bool parse_on_error(struct bmm__options *options, const char *value)
{
    if (strcmp(value, "continue") != 0 && strcmp(value, "stop") != 0)
        return false;
    options->stops_on_error = value[0] == 's';
    return true;
}

/* As the viewer knows them: at the end, when it would refuse, it is too late. */
static bool has_format(const char *name)
{
    static const char *const ends[] = { ".json", ".db", ".sqlite", ".sqlite3", ".txt" };
    size_t length = strlen(name);
    for (unsigned i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (length > strlen(ends[i]) && strcmp(name + length - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

static bool parse_report(struct bmm__options *options, const char *value)
{
    if (strcmp(value, "none") == 0) {
        options->is_managed = true;
        return true;
    }
    if (!has_format(value) || options->report_count == BMM__OPTIONS_REPORTS_MAX)
        return false;
    options->reports[options->report_count++] = value;
    return true;
}

static bool parse_directory(struct bmm__options *options, const char *value)
{
    if (*value == '\0')
        return false;
    options->directory = value;
    return true;
}

static bool parse_contents(struct bmm__options *options, const char *value)
{
    return parse_switch(&options->wants_contents, value);
}

static bool parse_fill(struct bmm__options *options, const char *value)
{
    return parse_switch(&options->fills, value);
}

static bool parse_summary(struct bmm__options *options, const char *value)
{
    return parse_switch(&options->wants_summary, value);
}

static bool parse_depth(struct bmm__options *options, const char *value)
{
    uint64_t depth;
    if (!parse_bytes(&depth, value, 256) || depth == 0)
        return false;
    options->depth_max = (unsigned)depth;
    return true;
}

static bool parse_quarantine(struct bmm__options *options, const char *value)
{
    uint64_t bytes;
    if (!parse_bytes(&bytes, value, SIZE_MAX / 4))
        return false;
    options->quarantine_bytes = (size_t)bytes;
    return true;
}

static bool parse_recorder_max(struct bmm__options *options, const char *value)
{
    uint64_t bytes;
    if (!parse_bytes(&bytes, value, (uint64_t)1 << 40) || bytes < BMM__OPTIONS_RECORDER_BYTES_MIN)
        return false;
    options->recorder_bytes_max = bytes;
    return true;
}

static const struct {
    const char *name;
    bool (*parse)(struct bmm__options *options, const char *value);
    const char *expected;
} keys[] = {
    { "mode", parse_mode, "off, leak or check" },
    { "report", parse_report, "a file name that ends in .json, .db or .txt (at most 8 of them) or none" },
    { "dir", parse_directory, "a directory" },
    { "on_error", parse_on_error, "continue or stop" },
    { "quarantine", parse_quarantine, "a number of bytes, K, M or G" },
    { "depth", parse_depth, "1 to 256" },
    { "fill", parse_fill, "on or off" },
    { "recorder_max", parse_recorder_max, "a number of bytes, K, M or G, at least 4M" },
    { "contents", parse_contents, "on or off" },
    { "summary", parse_summary, "on or off" },
};

static void complain(const char *option, const char *what, const char *expected)
{
    struct bmm__text line;
    bmm__text_begin(&line);
    bmm__text_put(&line, "option '");
    bmm__text_put(&line, option);
    bmm__text_put(&line, "': ");
    bmm__text_put(&line, what);
    bmm__text_put(&line, expected);
    bmm__text_send(&line);
}

static void parse_option(struct bmm__options *options, char *option)
{
    char *value = strchr(option, '=');
    if (value == NULL) {
        complain(option, "ignored, it is not key=value", "");
        return;
    }
    *value = '\0';
    for (unsigned i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(option, keys[i].name) != 0)
            continue;
        bool is_good = keys[i].parse(options, value + 1);
        *value = '=';
        if (!is_good)
            complain(option, "ignored, the value must be ", keys[i].expected);
        else
            *value = '\0';
        return;
    }
    *value = '=';
    complain(option, "ignored, there is no such key", "");
}

void bmm__options_parse(struct bmm__options *options, const char *text)
{
    memset(options, 0, sizeof *options);
    options->mode = BMM_MODE_LEAK;
    options->fills = true;
    options->wants_summary = true;
    options->depth_max = 64;
    options->quarantine_bytes = (size_t)4 << 20;
    options->recorder_bytes_max = (uint64_t)1 << 30;
    if (text == NULL)
        return;
    size_t bytes = strlen(text);
    if (bytes >= BMM__OPTIONS_TEXT_BYTES) {
        complain("BRAINMM_OPTIONS", "ignored, the text is longer than 4095 bytes", "");
        return;
    }
    memcpy(options->text, text, bytes);
    memcpy(options->values, text, bytes);
    for (char *option = options->values; option != NULL;) {
        char *comma = strchr(option, ',');
        if (comma != NULL)
            *comma++ = '\0';
        if (*option != '\0')
            parse_option(options, option);
        option = comma;
    }
    if (options->mode == BMM_MODE_OFF && options->report_count != 0)
        complain("mode=off", "nothing is watched, so no report is written", "");
}

void bmm__options_open(void)
{
    if (bmm__os_is_secure()) {
        bmm__options_parse(&bmm__options, NULL);
        bmm__options.mode = BMM_MODE_OFF;
        return;
    }
    bmm__options_parse(&bmm__options, bmm__os_environment("BRAINMM_OPTIONS"));
}
