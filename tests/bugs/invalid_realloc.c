// error: invalid-free detected=main@realloc
#include <stdlib.h>

static char text[64];

int main(void)
{
    char *volatile p = text;
    return realloc(p, 100) != NULL; /* @realloc */
}
