// run: --fail-on leak
// exit: 1
// leak: bytes=100 blocks=1 kind=malloc stack=main@one
// leak: bytes=60 blocks=3 kind=malloc stack=main@three
// leak: bytes=6 blocks=1 kind=malloc stack=copy@copy
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static char *copy(const char *text)
{
    return strdup(text); /* @copy */
}

int main(int count, char **arguments)
{
    (void)arguments;
    malloc(100);                        /* @one */
    for (int i = 0; i < count + 2; i++) /* not a constant, or the compiler makes three calls of it */
        malloc(20);                     /* @three */
    return copy("hello") == NULL;
}
