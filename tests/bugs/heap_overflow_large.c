// error: heap-overflow size=1000001 offsets=1000001 allocated=main@alloc detected=main@free
#include <stdlib.h>

int main(void)
{
    volatile char *p = malloc(1000001); /* @alloc */
    p[1000001] = 'x';
    free((void *)p); /* @free */
    return 0;
}
