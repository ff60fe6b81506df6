// The program replaces the nothrow news only, with malloc: their blocks may end in any delete and are no mismatch.
#include "replaced.hh"

void *operator new(std::size_t size, const std::nothrow_t &) noexcept
{
    news++;
    return std::malloc(size);
}

void *operator new[](std::size_t size, const std::nothrow_t &) noexcept
{
    arrays++;
    return std::malloc(size);
}

void *operator new(std::size_t size, std::align_val_t align, const std::nothrow_t &) noexcept
{
    aligned_news++;
    return std::aligned_alloc(std::size_t(align), size);
}

PLAIN_TEST(nothrow_news_are_the_programs)
{
    forget();
    ::operator delete(::operator new(40, std::nothrow));
    ::operator delete(::operator new(40, std::nothrow), std::size_t(40));
    ::operator delete(::operator new(40, std::nothrow), std::nothrow);
    ::operator delete[](::operator new[](40, std::nothrow));
    ::operator delete[](::operator new[](40, std::nothrow), std::size_t(40));
    ::operator delete(::operator new(64, wide, std::nothrow), wide);
    ::operator delete(::operator new(64, wide, std::nothrow), std::size_t(64), wide);
    PLAIN_CHECK(news == 3 && arrays == 2 && aligned_news == 2);
}

PLAIN_TEST(throwing_news_are_not)
{
    forget();
    ::operator delete(::operator new(40));
    ::operator delete[](::operator new[](40));
    ::operator delete(::operator new(40, wide), wide);
    PLAIN_CHECK(news + arrays + aligned_news == 0);
}

// What the runtime's aligned nothrow array form calls is the throwing array form, not the nothrow single one.
PLAIN_TEST(aligned_nothrow_arrays_are_not)
{
    forget();
    void *p = ::operator new[](64, wide, std::nothrow);
    PLAIN_CHECK(is_wide(p) && aligned_news == 0);
    ::operator delete[](p, wide);
}
