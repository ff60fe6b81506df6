/* Command lines by table. */
#include "viewer/args.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct bmm__option options[] = {
    { "--mode", 0, "MODE", "leak|check", false, "a choice" },
    { "--report", 0, "FILE", NULL, true, "repeated" },
    { "--output", 'o', "FILE", NULL, false, "with a letter" },
    { "--all", 0, NULL, NULL, false, "a switch" },
};
static const struct bmm__verb with_program = {
    .name = "run", .operands = "PROGRAM", .takes_program = true, .options = options, .option_count = 4
};
static const struct bmm__verb with_files = {
    .name = "show", .operands = "FILE", .summary = "Shows.", .options = options, .option_count = 4
};

static char storage[20][64];
static char *words[21];

static struct bmm__args args;
static struct bmm__why why;

/* Splits line at blanks and parses it; "" where that worked, else what was wrong. */
static const char *parse(const struct bmm__verb *verb, const char *line)
{
    int count = 0;
    char copy[256], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        snprintf(storage[count], sizeof storage[count], "%s", word);
        words[count] = storage[count];
        count++;
    }
    words[count] = NULL;
    return bmm__args_parse(&args, verb, count, words, &why) ? "" : why.text;
}

Test(args, options_and_operands)
{
    const char *const *reports;
    cr_expect_str_eq(parse(&with_files, "a --mode leak -o out --report=x.db b --report y.json --all c"), "");
    cr_expect_str_eq(bmm__args_value(&args, "--mode"), "leak");
    cr_expect_str_eq(bmm__args_value(&args, "--output"), "out");
    cr_assert_eq(bmm__args_values(&args, "--report", &reports), 2);
    cr_expect_str_eq(reports[0], "x.db");
    cr_expect_str_eq(reports[1], "y.json");
    cr_expect_not_null(bmm__args_value(&args, "--all"));
    cr_assert_eq(args.operand_count, 3);
    cr_expect_str_eq(args.operands[0], "a");
    cr_expect_str_eq(args.operands[2], "c");
    cr_expect_null(args.operands[3]);
    cr_expect_str_eq(parse(&with_files, "--mode leak --mode check"), "");
    cr_expect_str_eq(bmm__args_value(&args, "--mode"), "check", "the last counts");
    cr_expect_null(bmm__args_value(&args, "--all"));
    cr_expect_str_eq(parse(&with_files, "a -- --all b"), "");
    cr_assert_eq(args.operand_count, 3);
    cr_expect_str_eq(args.operands[1], "--all");
    cr_expect_str_eq(parse(&with_files, "-"), "");
    cr_expect_eq(args.operand_count, 1);
}

Test(args, what_follows_the_program_is_its_own)
{
    cr_expect_str_eq(parse(&with_program, "--all -- prog --mode nonsense -- x"), "");
    cr_assert_eq(args.operand_count, 5);
    cr_expect_str_eq(args.operands[0], "prog");
    cr_expect_str_eq(args.operands[3], "--");
    cr_expect_str_eq(parse(&with_program, "--mode leak prog --all --help"), "");
    cr_assert_eq(args.operand_count, 3);
    cr_expect_null(bmm__args_value(&args, "--all"));
    cr_expect_not(args.is_help);
    cr_expect_str_eq(parse(&with_program, "--help prog"), "");
    cr_expect(args.is_help);
}

Test(args, the_first_thing_wrong_is_named)
{
    cr_expect_str_eq(parse(&with_files, "--bad"), "unknown option --bad (see brainmm help show)");
    cr_expect_str_eq(parse(&with_files, "--bad=3"), "unknown option --bad (see brainmm help show)");
    cr_expect_str_eq(parse(&with_files, "-x"), "unknown option -x (see brainmm help show)");
    cr_expect_str_eq(parse(&with_files, "--mode"), "--mode needs a value: MODE");
    cr_expect_str_eq(parse(&with_files, "--mode lea"), "--mode must be one of leak|check, not 'lea'");
    cr_expect_str_eq(parse(&with_files, "--mode="), "--mode must be one of leak|check, not ''");
    cr_expect_str_eq(parse(&with_files, "--mode leak|check"), "--mode must be one of leak|check, not 'leak|check'");
    cr_expect_str_eq(parse(&with_files, "--all=yes"), "--all takes no value");
    cr_expect_str_eq(parse(&with_files, "--mod leak"), "unknown option --mod (see brainmm help show)");
}

Test(args, help_names_every_option)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    bmm__verb_help(&with_files, memory);
    fclose(memory);
    for (size_t i = 0; i < 4; i++)
        cr_expect_not_null(strstr(text, options[i].name));
    cr_expect_not_null(strstr(text, "leak|check"));
    cr_expect_not_null(strstr(text, "-o"));
    free(text);
}
