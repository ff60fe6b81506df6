// error: heap-overflow size=13 offsets=13 allocated=main@alloc detected=main@realloc
#include <stdlib.h>

int main(void)
{
    volatile char *p = malloc(13); /* @alloc */
    p[13] = 'x';
    free(realloc((void *)p, 1000)); /* @realloc */
    return 0;
}
