// error: sized-delete-mismatch size=24 allocated=main@alloc detected=main@delete
#include <new>

int main()
{
    void *p = operator new(24);                       /* @alloc */
    operator delete(p, static_cast<std::size_t>(32)); /* @delete */
    return 0;
}
