// stdout: fine
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    free(malloc(10));
    puts("fine");
    return 0;
}
