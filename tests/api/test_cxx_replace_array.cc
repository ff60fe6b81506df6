// The program replaces operator new[] and operator delete[] only: the single forms are not touched.
#include "replaced.hh"

void *operator new[](std::size_t size)
{
    arrays++;
    return static_cast<char *>(std::malloc(size + 32)) + 32;
}

void operator delete[](void *p) noexcept
{
    array_deletes++;
    if (p != nullptr)
        std::free(static_cast<char *>(p) - 32);
}

PLAIN_TEST(sized_and_nothrow_arrays_forward)
{
    forget();
    ::operator delete[](::operator new[](40), std::size_t(40));
    ::operator delete[](::operator new[](40, std::nothrow), std::nothrow);
    PLAIN_CHECK(arrays == 2 && array_deletes == 2);
}

PLAIN_TEST(single_forms_do_not)
{
    forget();
    ::operator delete(::operator new(40), std::size_t(40));
    ::operator delete(::operator new(40, std::nothrow), std::nothrow);
    PLAIN_CHECK(arrays == 0 && array_deletes == 0);
}
