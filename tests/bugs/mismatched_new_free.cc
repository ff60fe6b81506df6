// error: mismatched-free size=4 allocated=main@alloc detected=main@free
#include <cstdlib>

int main()
{
    int *p = new int(1); /* @alloc */
    free(p);             /* @free */
    return 0;
}
