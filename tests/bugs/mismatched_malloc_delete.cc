// error: mismatched-free size=24 allocated=main@alloc detected=main@delete
#include <cstdlib>

int main()
{
    void *p = malloc(24); /* @alloc */
    operator delete(p);   /* @delete */
    return 0;
}
