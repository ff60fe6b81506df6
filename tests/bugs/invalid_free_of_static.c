// error: invalid-free detected=main@free
#include <stdlib.h>

static char text[64];

int main(void)
{
    char *volatile p = text + 16;
    free(p); /* @free */
    return 0;
}
