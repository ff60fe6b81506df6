// run: --on-error stop
// exit: 3
// error: double-free size=40 allocated=main@alloc
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char *p = malloc(40); /* @alloc */
    free(p);
    free(p);
    puts("not reached");
    return 0;
}
