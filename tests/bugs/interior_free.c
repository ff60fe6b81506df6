// error: interior-free size=100 allocated=main@alloc detected=main@free
#include <stdlib.h>

int main(void)
{
    char *p = malloc(100); /* @alloc */
    free(p + 16);          /* @free */
    free(p);
    return 0;
}
