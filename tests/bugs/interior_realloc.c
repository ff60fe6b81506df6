// error: interior-free size=100 allocated=main@alloc detected=main@realloc
#include <stdlib.h>

int main(void)
{
    char *p = malloc(100);                        /* @alloc */
    int was_moved = realloc(p + 32, 200) != NULL; /* @realloc */
    free(p);
    return was_moved;
}
