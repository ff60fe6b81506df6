#include "viewer/summary.h"

#include "report/write_text.h"

#include <stdlib.h>
#include <unistd.h>

void bmm__summary(const struct bmm__report *report, FILE *out, bool is_all, bool is_contents)
{
    const char *no_colour = getenv("NO_COLOR");
    struct bmm__text_options options = { .is_coloured = isatty(fileno(out)) && (no_colour == NULL || no_colour[0] == 0),
                                         .is_contents = is_contents };
    if (!is_all) {
        options.leak_limit = BMM__SUMMARY_LEAKS;
        options.error_limit = BMM__SUMMARY_ERRORS;
        options.frame_limit = BMM__SUMMARY_FRAMES;
    }
    /* stderr has no buffer of its own: thousands of small writes would mix with those of a child still running. */
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    if (memory == NULL)
        return;
    bmm__write_text(report, memory, &options);
    fclose(memory);
    fwrite(text, 1, bytes, out);
    fflush(out);
    free(text);
}
