/* brainmm: finds the verb and hands the rest of the command line to it. */
#include "brainmm/version.h"
#include "viewer/message.h"
#include "viewer/verbs.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct bmm__verb *const verbs[] = { &bmm__verb_run, &bmm__verb_show, &bmm__verb_export,
                                                 &bmm__verb_report };

static const struct bmm__verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static void help(FILE *out)
{
    fputs("brainmm: who leaked and who corrupted memory\n\n", out);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!verbs[i]->is_hidden)
            fprintf(out, "  brainmm %s%s %s\n", verbs[i]->name, verbs[i]->option_count > 0 ? " [OPTION]…" : "",
                    verbs[i]->operands);
    fputs("  brainmm help [VERB]\n  brainmm --version\n\n"
          "Exit status of run: the program's own, unless corruption was found (3) or, with --fail-on leak,\n"
          "leaks were (1); 2 if the check could not run. See brainmm(1).\n",
          out);
}

static int help_of(const char *name)
{
    if (name == NULL) {
        help(stdout);
        return BMM_STATUS_GOOD;
    }
    const struct bmm__verb *verb = find_verb(name);
    if (verb == NULL)
        return bmm__refuse("unknown verb '%s' (see brainmm help)", name);
    bmm__verb_help(verb, stdout);
    return BMM_STATUS_GOOD;
}

/* Files we open must not become the program's missing streams. What stands in for them is closed by exec, so that the
 * program finds them missing still. It can be read only: what is written to a missing stream is lost, and that is said. */
static void fill_streams(void)
{
    int file;
    do
        file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (file >= 0 && file <= 2);
    if (file > 2)
        close(file);
}

int main(int count, char **arguments)
{
    fill_streams();
    if (count < 2) {
        help(stderr);
        return BMM_STATUS_NOT_RUN;
    }
    const char *name = arguments[1];
    if (strcmp(name, "--version") == 0) {
        puts("brainmm " BMM_VERSION_STRING);
        return BMM_STATUS_GOOD;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help_of(NULL);
    if (strcmp(name, "help") == 0)
        return help_of(count > 2 ? arguments[2] : NULL);
    const struct bmm__verb *verb = find_verb(name);
    if (verb == NULL)
        return bmm__refuse("unknown verb '%s' (see brainmm help)", name);
    static struct bmm__args args;
    struct bmm__why why;
    if (!bmm__args_parse(&args, verb, count - 2, arguments + 2, &why))
        return bmm__refuse("%s", why.text);
    if (args.is_help)
        return help_of(name);
    if (!verb->takes_program)
        signal(SIGXFSZ, SIG_IGN); /* what is too large for a limit is told of */
    return verb->run(&args);
}
