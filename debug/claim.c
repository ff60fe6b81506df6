/* See claim.h. */
#include "claim.h"

#include "options.h"
#include "path.h"

#include "core/client.h"
#include "core/os.h"

#include <string.h>

#define NAME "BRAINMM_CLAIM"

static bool is_another_ones;
static char variable[sizeof NAME + 48 + BMM__OPTIONS_TEXT_BYTES];

static char *put_decimal(char *at, uint64_t number)
{
    char digits[20];
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    memcpy(at, digits + first, sizeof digits - first);
    return at + (sizeof digits - first);
}

/* Writes the variable as this process would set it; returns its value. */
static const char *make_variable(void)
{
    memcpy(variable, NAME "=", sizeof NAME);
    char *at = put_decimal(variable + sizeof NAME, bmm__os_process_id());
    *at++ = '.';
    at = put_decimal(at, bmm__os_process_birth());
    *at++ = ':';
    memcpy(at, bmm__options.text, strlen(bmm__options.text) + 1);
    return variable + sizeof NAME;
}

void bmm__claim_start(void)
{
    if (bmm__options.report_count == 0 || bmm__options.is_managed)
        return;
    const char *found = bmm__os_environment(NAME), *own = make_variable();
    const char *options = found != NULL ? strchr(found, ':') : NULL;
    if (options == NULL || strcmp(options + 1, bmm__options.text) != 0)
        /* Nobody's, or another file's. Not setenv: it allocates, and would stand among the program's allocations. */
        bmm__os_environment_put(variable, bmm__core_meta_alloc);
    else
        is_another_ones = strcmp(found, own) != 0;
}

const char *bmm__claim_path(const char *report, char *buffer, size_t capacity)
{
    const char *path = bmm__path_absolute(report, buffer, capacity);
    if (path == NULL || !is_another_ones)
        return path;
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    size_t length = strlen(path), head = dot != NULL && (slash == NULL || dot > slash) ? (size_t)(dot - path) : length;
    char number[21];
    size_t digits = (size_t)(put_decimal(number, bmm__os_process_id()) - number);
    if (length + 1 + digits >= capacity)
        return NULL;
    memmove(buffer + head + 1 + digits, path + head, length - head + 1);
    memmove(buffer, path, head);
    buffer[head] = '.';
    memcpy(buffer + head + 1, number, digits);
    return buffer;
}
