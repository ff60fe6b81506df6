// The program replaces operator new(size_t) and operator delete(void *) only: every other form ends in them.
#include "replaced.hh"

static bool is_out_of_memory;

void *operator new(std::size_t size)
{
    news++;
    void *p = is_out_of_memory ? nullptr : std::malloc(size + 32);
    if (p == nullptr)
        throw std::bad_alloc();
    return static_cast<char *>(p) + 32; // not what free would take: whoever frees it otherwise is found out
}

void operator delete(void *p) noexcept
{
    deletes++;
    if (p != nullptr)
        std::free(static_cast<char *>(p) - 32);
}

PLAIN_TEST(array_new_and_delete_forward)
{
    forget();
    void *p = ::operator new[](100);
    PLAIN_CHECK(news == 1);
    ::operator delete[](p);
    PLAIN_CHECK(deletes == 1);
}

PLAIN_TEST(sized_deletes_forward)
{
    forget();
    ::operator delete(::operator new(40), std::size_t(40));
    ::operator delete[](::operator new[](40), std::size_t(40));
    PLAIN_CHECK(news == 2 && deletes == 2);
}

PLAIN_TEST(nothrow_forwards)
{
    forget();
    void *one = ::operator new(10, std::nothrow), *many = ::operator new[](10, std::nothrow);
    PLAIN_CHECK(one != nullptr && many != nullptr && news == 2);
    ::operator delete(one, std::nothrow);
    ::operator delete[](many, std::nothrow);
    PLAIN_CHECK(deletes == 2);
}

PLAIN_TEST(nothrow_catches_what_the_replaced_one_throws)
{
    forget();
    is_out_of_memory = true;
    void *one = ::operator new(10, std::nothrow), *many = ::operator new[](10, std::nothrow);
    bool has_thrown = false;
    try {
        ::operator delete[](::operator new[](10));
    } catch (const std::bad_alloc &) {
        has_thrown = true;
    }
    is_out_of_memory = false;
    PLAIN_CHECK(one == nullptr && many == nullptr && has_thrown && news == 3);
}

PLAIN_TEST(aligned_forms_do_not)
{
    forget();
    void *p = ::operator new(100, wide), *q = ::operator new[](100, wide);
    PLAIN_CHECK(is_wide(p) && is_wide(q) && news == 0);
    ::operator delete(p, wide);
    ::operator delete[](q, std::size_t(100), wide);
    PLAIN_CHECK(deletes == 0);
}
