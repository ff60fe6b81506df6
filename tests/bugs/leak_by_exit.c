// exit: 7
// leak: bytes=10 blocks=1 kind=malloc stack=main@alloc
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
    malloc(10); /* @alloc */
    _exit(7);
}
