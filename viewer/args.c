#include "viewer/args.h"

#include <string.h>

static int find(const struct bmm__verb *verb, const char *argument, size_t length)
{
    for (unsigned i = 0; i < verb->option_count; i++) {
        const struct bmm__option *option = &verb->options[i];
        if (strlen(option->name) == length && memcmp(option->name, argument, length) == 0)
            return (int)i;
        if (option->letter != 0 && length == 2 && argument[0] == '-' && argument[1] == option->letter)
            return (int)i;
    }
    return -1;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t length = strchr(value, '|') == NULL ? strlen(value) : 0;
    for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (length > 0 && strncmp(at, value, length) == 0 && (at[length] == '|' || at[length] == 0))
            return true;
    }
    return false;
}

static bool take(struct bmm__args *args, int index, const char *value, struct bmm__why *why)
{
    const struct bmm__option *option = &args->verb->options[index];
    unsigned *count = &args->value_counts[index];
    if (option->choices != NULL && !is_choice(option->choices, value))
        return bmm__fail(why, "%s must be one of %s, not '%s'", option->name, option->choices, value);
    if (!option->is_repeated)
        *count = 0;
    if (*count == BMM__OPTION_VALUES_MAX)
        return bmm__fail(why, "%s given more than %d times", option->name, BMM__OPTION_VALUES_MAX);
    args->values[index][(*count)++] = value;
    return true;
}

/* Takes the option at arguments[*at] with its value, and moves *at behind both. */
static bool parse_option(struct bmm__args *args, int count, char **arguments, int *at, struct bmm__why *why)
{
    const char *argument = arguments[(*at)++];
    const char *equals = strncmp(argument, "--", 2) == 0 ? strchr(argument, '=') : NULL;
    size_t length = equals != NULL ? (size_t)(equals - argument) : strlen(argument);
    int index = find(args->verb, argument, length);
    if (index < 0)
        return bmm__fail(why, "unknown option %.*s (see brainmm help %s)", (int)length, argument, args->verb->name);
    const struct bmm__option *option = &args->verb->options[index];
    if (option->value == NULL)
        return equals == NULL ? take(args, index, option->name, why)
                              : bmm__fail(why, "%s takes no value", option->name);
    if (equals != NULL)
        return take(args, index, equals + 1, why);
    if (*at == count)
        return bmm__fail(why, "%s needs a value: %s", option->name, option->value);
    return take(args, index, arguments[(*at)++], why);
}

bool bmm__args_parse(struct bmm__args *args, const struct bmm__verb *verb, int count, char **arguments,
                     struct bmm__why *why)
{
    *args = (struct bmm__args){ .verb = verb, .operands = arguments };
    int at = 0;
    while (at < count) {
        if (strcmp(arguments[at], "--") == 0) {
            at++;
            break;
        }
        if (strcmp(arguments[at], "--help") == 0 || strcmp(arguments[at], "-h") == 0) {
            args->is_help = true;
            return true;
        }
        bool is_operand = arguments[at][0] != '-' || arguments[at][1] == 0;
        if (is_operand && verb->takes_program)
            break;
        if (is_operand) /* operands before options are collected at the front */
            arguments[args->operand_count++] = arguments[at++];
        else if (!parse_option(args, count, arguments, &at, why))
            return false;
    }
    if (args->operand_count == 0)
        args->operands = arguments + at;
    while (at < count) {
        args->operands[args->operand_count++] = arguments[at++];
    }
    args->operands[args->operand_count] = NULL;
    return true;
}

const char *bmm__args_value(const struct bmm__args *args, const char *name)
{
    int index = find(args->verb, name, strlen(name));
    return index >= 0 && args->value_counts[index] > 0 ? args->values[index][args->value_counts[index] - 1] : NULL;
}

unsigned bmm__args_values(const struct bmm__args *args, const char *name, const char *const **values)
{
    int index = find(args->verb, name, strlen(name));
    if (index < 0)
        return 0;
    *values = args->values[index];
    return args->value_counts[index];
}

void bmm__verb_help(const struct bmm__verb *verb, FILE *out)
{
    fprintf(out, "brainmm %s%s %s\n\n%s\n", verb->name, verb->option_count > 0 ? " [OPTION]…" : "", verb->operands,
            verb->summary);
    for (unsigned i = 0; i < verb->option_count; i++) {
        const struct bmm__option *option = &verb->options[i];
        char left[96];
        snprintf(left, sizeof left, "%s%s%s", option->name, option->value != NULL ? " " : "",
                 option->choices != NULL ? option->choices
                 : option->value != NULL ? option->value
                                         : "");
        if (option->letter != 0) {
            size_t length = strlen(left);
            snprintf(left + length, sizeof left - length, ", -%c", option->letter);
        }
        fprintf(out, "%s  %-34s %s\n", i == 0 ? "\n" : "", left, option->help);
    }
}
