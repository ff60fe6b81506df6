// with: libbrainmm
// signal: SIGABRT
#include <stdlib.h>

int main(void)
{
    char on_stack[64];
    char *volatile p = on_stack;
    free(p);
    return 0;
}
