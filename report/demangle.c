#include "report/demangle.h"

#include <libiberty/demangle.h>
#include <stdlib.h>
#include <string.h>

/* Length without .isra.0, .part.1, .cold, .llvm.123 and their like, and without @VERSION. They change from build
 * to build, and the reader's function has none of them in its source. */
static size_t base_length(const char *symbol)
{
    static const char *const suffixes[] = { "isra", "part", "constprop", "cold", "llvm", "lto_priv", "localalias" };
    size_t whole = strcspn(symbol, "@");
    for (const char *dot = strchr(symbol + 1, '.'); dot != NULL; dot = strchr(dot + 1, '.'))
        for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
            size_t length = strlen(suffixes[i]);
            if (strncmp(dot + 1, suffixes[i], length) == 0 && (dot[length + 1] == '.' || dot[length + 1] == 0))
                return (size_t)(dot - symbol);
        }
    return whole;
}

/* FreePascal:  UNIT _$$_ NAME $PARAMETER… $$RESULT        of a program UNIT is P$NAME
 *              UNIT $_$ SCOPE _$_ SCOPE _$__$$_ NAME …    in classes; the scope of what is nested in a function is that
 *                                                         function with its parameters, and ends in _$$_
 * A name of its own begins with $ where it is an operator ($plus), and has $1$CRC… of a specialized generic. */
static bool is_pascal(const char *symbol, size_t length)
{
    size_t i = strncmp(symbol, "P$", 2) == 0 ? 2 : 0;
    if (!(symbol[i] >= 'A' && symbol[i] <= 'Z') && symbol[i] != '_')
        return false;
    for (; i < length && symbol[i] != '$'; i++)
        if (!(symbol[i] >= 'A' && symbol[i] <= 'Z') && !(symbol[i] >= '0' && symbol[i] <= '9') && symbol[i] != '_' &&
            symbol[i] != '.')
            return false;
    return (i + 2 < length && memcmp(symbol + i, "$_$", 3) == 0) ||
           (i > 1 && i + 2 < length && symbol[i - 1] == '_' && memcmp(symbol + i, "$$_", 3) == 0);
}

/* Length of the name at text, and of the parameters behind it. */
static size_t pascal_name(const char *text, size_t length)
{
    size_t i = length > 0 && text[0] == '$' ? 1 : 0;
    while (i < length && text[i] != '$')
        i++;
    for (size_t j = i + 1; j < length && text[i] == '$' && text[j] >= '0' && text[j] <= '9'; j++)
        if (length - j > 12 && (memcmp(text + j + 1, "$CRC", 4) == 0 || memcmp(text + j + 1, "$crc", 4) == 0))
            return i; /* of a generic: its name, without what it was specialized with */
    return i;
}

static const char *demangle_pascal(struct bmm__strings *strings, const char *symbol, size_t length)
{
    char *name = bmm__must_alloc(length + 1);
    size_t count = 0;
    const char *at = symbol + (strncmp(symbol, "P$", 2) == 0 ? 2 : 0), *end = symbol + length;
    while (at < end) {
        /* The next mark ends this part: "_$__$$_", "_$$_", "_$_", "$_$". */
        const char *mark = at;
        size_t mark_length = 0;
        for (; mark < end && mark_length == 0; mark += mark_length == 0) {
            static const char *const marks[] = { "_$__$$_", "_$$_", "_$_", "$_$" };
            for (size_t i = 0; i < sizeof marks / sizeof *marks && mark_length == 0 && mark > at; i++)
                if ((size_t)(end - mark) >= strlen(marks[i]) && memcmp(mark, marks[i], strlen(marks[i])) == 0)
                    mark_length = strlen(marks[i]);
        }
        size_t part = pascal_name(at, (size_t)(mark - at));
        if (part > 0 && count > 0)
            name[count++] = '.';
        memcpy(name + count, at, part);
        count += part;
        at = mark + mark_length;
        if (mark_length == 0)
            break;
    }
    const char *interned = bmm__intern_bytes(strings, name, count);
    free(name);
    return interned;
}

const char *bmm__demangle(struct bmm__strings *strings, const char *symbol)
{
    if (symbol == NULL || symbol[0] == 0)
        return NULL;
    size_t length = base_length(symbol);
    if (is_pascal(symbol, length))
        return demangle_pascal(strings, symbol, length);
    if (symbol[0] != '_' || (symbol[1] != 'Z' && symbol[1] != 'R'))
        return bmm__intern_bytes(strings, symbol, length);
    char *base = bmm__must_alloc(length + 1);
    memcpy(base, symbol, length);
    base[length] = 0;
    char *plain = cplus_demangle(base, DMGL_AUTO | DMGL_PARAMS | DMGL_ANSI);
    const char *name = bmm__intern(strings, plain != NULL ? plain : base);
    free(plain);
    free(base);
    return name;
}
