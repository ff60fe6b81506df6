// error: double-free size=40 allocated=main@alloc freed=main@first detected=main@second
#include <stdlib.h>

int main(void)
{
    char *p = malloc(40); /* @alloc */
    free(p);              /* @first */
    free(p);              /* @second */
    return 0;
}
