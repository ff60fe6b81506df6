// The program replaces operator delete(void *) only, with free: every other plain delete ends in it, and a block of
// any plain new may.
#include "replaced.hh"

void operator delete(void *p) noexcept
{
    deletes++;
    std::free(p);
}

PLAIN_TEST(every_plain_delete_forwards)
{
    forget();
    ::operator delete(::operator new(40));
    ::operator delete(::operator new(40), std::size_t(40));
    ::operator delete(::operator new(40, std::nothrow), std::nothrow);
    ::operator delete[](::operator new[](40));
    ::operator delete[](::operator new[](40), std::size_t(40));
    ::operator delete[](::operator new[](40, std::nothrow), std::nothrow);
    PLAIN_CHECK(deletes == 6);
}

PLAIN_TEST(aligned_deletes_do_not)
{
    forget();
    ::operator delete(::operator new(40, wide), wide);
    ::operator delete[](::operator new[](40, wide), std::size_t(40), wide);
    PLAIN_CHECK(deletes == 0);
}
