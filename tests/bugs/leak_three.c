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

int main(void)
{
    malloc(100);                /* @one */
    for (int i = 0; i < 3; i++) /* a constant: the compiler may make three calls of it, one place all the same */
        malloc(20);             /* @three */
    return copy("hello") == NULL;
}
