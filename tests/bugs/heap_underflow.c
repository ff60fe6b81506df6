// error: heap-underflow size=64 offsets=-1 allocated=main@alloc detected=main@free
#include <stdlib.h>

int main(void)
{
    volatile char *p = malloc(64); /* @alloc */
    p[-1] = 'x';
    free((void *)p); /* @free */
    return 0;
}
