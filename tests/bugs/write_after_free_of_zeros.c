// error: write-after-free size=30 offsets=4,5,12,13 allocated=main@alloc freed=main@free
/* What ends a text is a zero. */
#include <stdlib.h>

int main(void)
{
    volatile char *p = malloc(30); /* @alloc */
    free((void *)p);               /* @free */
    p[4] = p[5] = p[12] = p[13] = 0;
    return 0;
}
