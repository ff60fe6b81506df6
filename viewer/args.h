/* Command lines, by table: the same table parses a verb's options and prints its help.
 *
 * Words. *Verb*: what `brainmm VERB` does. *Operand*: an argument that is no option. Options are written --name VALUE,
 * --name=VALUE or, where there is a letter, -o VALUE; "--" ends them. In a verb that takes a program, the first
 * operand ends them too: what follows belongs to the program.
 */
#ifndef BMM_VIEWER_ARGS_H
#define BMM_VIEWER_ARGS_H

#include "report/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define BMM__OPTION_VALUES_MAX 16 /* of one option that may be given several times */

struct bmm__option {
    const char *name;    /* with its two dashes */
    char letter;         /* 0: none */
    const char *value;   /* name of the value; NULL: a switch */
    const char *choices; /* allowed values, separated by |; NULL: any */
    bool is_repeated;    /* every value counts; else the last */
    const char *help;
};

struct bmm__verb;
struct bmm__args {
    const struct bmm__verb *verb;
    const char *values[8][BMM__OPTION_VALUES_MAX]; /* by option, in the order given; a switch has its own name */
    unsigned value_counts[8];
    char **operands; /* NULL-terminated, as in argv */
    int operand_count;
    bool is_help;
};

struct bmm__verb {
    const char *name;
    const char *operands; /* as help shows them */
    const char *summary;
    bool takes_program;
    bool is_hidden; /* left out of the list of verbs */
    const struct bmm__option *options;
    unsigned option_count; /* at most 8 */
    int (*run)(const struct bmm__args *args);
};

/* arguments: what follows the verb. False: why names the first thing wrong. */
bool bmm__args_parse(struct bmm__args *args, const struct bmm__verb *verb, int count, char **arguments,
                     struct bmm__why *why);

/* The last value given, NULL: none. */
const char *bmm__args_value(const struct bmm__args *args, const char *name);
/* All values given to a repeated option. */
unsigned bmm__args_values(const struct bmm__args *args, const char *name, const char *const **values);

void bmm__verb_help(const struct bmm__verb *verb, FILE *out);

#endif
