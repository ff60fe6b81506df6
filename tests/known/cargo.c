#include "cargo.h"

#include <stdlib.h>
#include <string.h>

static char *volatile lost;

static char *hold(size_t count)
{
    char *crate = calloc(count, 8); /* @hold */
    memset(crate, 'c', count);
    return crate;
}

size_t cargo_load(size_t count)
{
    lost = hold(count); /* @cargo_load */
    return count * 8;
}
