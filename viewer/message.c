#include "viewer/message.h"

#include <stdarg.h>
#include <stdio.h>

static void say(const char *format, va_list arguments)
{
    /* One write, so that lines of several processes do not mix. */
    char line[2048];
    int length = vsnprintf(line, sizeof line, format, arguments);
    if (length < 0)
        return;
    fprintf(stderr, "brainmm: %s\n", line);
}

void bmm__say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

int bmm__refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return BMM_STATUS_NOT_RUN;
}
