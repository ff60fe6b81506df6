// error: sized-delete-mismatch size=24 allocated=main@alloc detected=main@delete
#include <new>

int main()
{
    void *p = operator new(24, std::align_val_t(64)); /* @alloc */
    operator delete(p, std::align_val_t(128));        /* @delete */
    return 0;
}
