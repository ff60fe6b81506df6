// error: double-free size=40 allocated=main@alloc freed=main@free detected=main@realloc
#include <stdlib.h>

int main(void)
{
    char *p = malloc(40);          /* @alloc */
    free(p);                       /* @free */
    return realloc(p, 80) != NULL; /* @realloc */
}
