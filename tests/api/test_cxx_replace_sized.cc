// The program replaces the sized deletes only, with free: a block of operator new may end there and is no mismatch.
#include "replaced.hh"

void operator delete(void *p, std::size_t) noexcept
{
    sized_deletes++;
    std::free(p);
}

void operator delete[](void *p, std::size_t) noexcept
{
    sized_deletes++;
    std::free(p);
}

PLAIN_TEST(sized_deletes_are_the_programs)
{
    forget();
    ::operator delete(::operator new(40), std::size_t(40));
    ::operator delete[](::operator new[](40), std::size_t(40));
    PLAIN_CHECK(sized_deletes == 2);
}

PLAIN_TEST(unsized_deletes_are_not)
{
    forget();
    ::operator delete(::operator new(40));
    ::operator delete[](::operator new[](40));
    PLAIN_CHECK(sized_deletes == 0);
}
