// error: write-after-free size=100 offsets=20 allocated=main@alloc freed=main@free
#include <stdlib.h>

int main(void)
{
    volatile char *p = malloc(100); /* @alloc */
    free((void *)p);                /* @free */
    p[20] = 'x';
    return 0;
}
