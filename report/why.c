#include "report/why.h"

#include <stdarg.h>
#include <stdio.h>

bool bmm__fail(struct bmm__why *why, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    return false;
}
