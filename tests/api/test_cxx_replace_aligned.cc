// The program replaces the aligned single forms only: aligned arrays and sized aligned deletes end in them.
#include "replaced.hh"

void *operator new(std::size_t size, std::align_val_t align)
{
    aligned_news++;
    char *p = static_cast<char *>(std::aligned_alloc(std::size_t(align), (size + 255) / 128 * 128));
    return p == nullptr ? throw std::bad_alloc() : p + 128;
}

void operator delete(void *p, std::align_val_t) noexcept
{
    aligned_deletes++;
    if (p != nullptr)
        std::free(static_cast<char *>(p) - 128);
}

PLAIN_TEST(aligned_forms_forward)
{
    forget();
    void *one = ::operator new(100, wide), *many = ::operator new[](100, wide);
    void *quiet = ::operator new(100, wide, std::nothrow), *quiet_many = ::operator new[](100, wide, std::nothrow);
    PLAIN_CHECK(is_wide(one) && is_wide(many) && is_wide(quiet) && is_wide(quiet_many) && aligned_news == 4);
    ::operator delete(one, std::size_t(100), wide);
    ::operator delete[](many, wide);
    ::operator delete(quiet, wide, std::nothrow);
    ::operator delete[](quiet_many, std::size_t(100), wide);
    PLAIN_CHECK(aligned_deletes == 4);
}

PLAIN_TEST(others_do_not)
{
    forget();
    ::operator delete[](::operator new[](40));
    ::operator delete(::operator new(40, std::nothrow));
    PLAIN_CHECK(aligned_news == 0 && aligned_deletes == 0);
}
