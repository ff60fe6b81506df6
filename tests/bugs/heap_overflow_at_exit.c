// error: heap-overflow size=13 offsets=14 allocated=main@alloc
// leak: bytes=13 blocks=1 kind=malloc stack=main@alloc
#include <stdlib.h>

int main(void)
{
    volatile char *p = malloc(13); /* @alloc */
    p[14] = 'x';
    return 0;
}
