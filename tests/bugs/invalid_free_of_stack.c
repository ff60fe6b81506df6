// error: invalid-free detected=main@free
#include <stdlib.h>

int main(void)
{
    char on_stack[64];
    char *volatile p = on_stack;
    free(p); /* @free */
    return 0;
}
