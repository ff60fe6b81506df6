// error: interior-free size=3000000 allocated=main@alloc detected=main@free
#include <stdlib.h>

int main(void)
{
    char *p = malloc(3000000); /* @alloc */
    free(p + 1000000);         /* @free */
    free(p);
    return 0;
}
