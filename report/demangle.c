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

const char *bmm__demangle(struct bmm__strings *strings, const char *symbol)
{
    if (symbol == NULL || symbol[0] == 0)
        return NULL;
    size_t length = base_length(symbol);
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
