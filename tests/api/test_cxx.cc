// What the C++ operators promise when the program replaced none: alignment, bad_alloc, the new-handler, nothrow.
#include "replaced.hh"

#include <string>
#include <vector>

static const std::size_t too_much = PTRDIFF_MAX - std::size_t(5);

template <typename Call> static bool throws(Call call)
{
    try {
        call();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

PLAIN_TEST(every_form_gives_a_block_and_takes_it)
{
    for (std::size_t size : { 0, 1, 24, 1000, 40000, 3000000 }) {
        ::operator delete(::operator new(size));
        ::operator delete(::operator new(size), size);
        ::operator delete[](::operator new[](size));
        ::operator delete[](::operator new[](size), size);
        ::operator delete(::operator new(size, std::nothrow), std::nothrow);
        ::operator delete[](::operator new[](size, std::nothrow), std::nothrow);
        void *p = ::operator new(size, wide);
        PLAIN_CHECK(is_wide(p));
        ::operator delete(p, wide);
        p = ::operator new[](size, wide);
        PLAIN_CHECK(is_wide(p));
        ::operator delete[](p, size, wide);
        p = ::operator new(size, wide, std::nothrow);
        PLAIN_CHECK(is_wide(p));
        ::operator delete(p, size, wide);
        p = ::operator new[](size, wide, std::nothrow);
        PLAIN_CHECK(is_wide(p));
        ::operator delete[](p, wide, std::nothrow);
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr, wide);
}

PLAIN_TEST(out_of_memory_throws_bad_alloc)
{
    std::size_t volatile size = too_much;
    PLAIN_CHECK(throws([&] { ::operator delete(::operator new(size)); }));
    PLAIN_CHECK(throws([&] { ::operator delete[](::operator new[](size)); }));
    PLAIN_CHECK(throws([&] { ::operator delete(::operator new(size, wide), wide); }));
    PLAIN_CHECK(throws([&] { ::operator delete[](::operator new[](size, wide), wide); }));
    PLAIN_CHECK(throws([&] { ::operator delete(::operator new(SIZE_MAX, wide), wide); }));
}

PLAIN_TEST(nothrow_gives_null)
{
    std::size_t volatile size = too_much;
    PLAIN_CHECK(::operator new(size, std::nothrow) == nullptr);
    PLAIN_CHECK(::operator new[](size, std::nothrow) == nullptr);
    PLAIN_CHECK(::operator new(size, wide, std::nothrow) == nullptr);
    PLAIN_CHECK(::operator new[](SIZE_MAX, wide, std::nothrow) == nullptr);
}

static int handler_calls;

static void handler()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

static void throwing_handler()
{
    handler_calls++;
    throw std::bad_alloc();
}

PLAIN_TEST(the_new_handler_is_called_until_it_gives_up)
{
    std::size_t volatile size = too_much;
    handler_calls = 0;
    std::set_new_handler(handler);
    PLAIN_CHECK(throws([&] { ::operator delete(::operator new(size)); }) && handler_calls == 3);
    handler_calls = 0;
    std::set_new_handler(handler);
    PLAIN_CHECK(::operator new(size, std::nothrow) == nullptr &&handler_calls == 3);
    handler_calls = 0;
    std::set_new_handler(throwing_handler);
    PLAIN_CHECK(::operator new(size, std::nothrow) == nullptr &&handler_calls == 1);
    std::set_new_handler(nullptr);
}

PLAIN_TEST(containers)
{
    std::vector<std::string> names;
    for (int i = 0; i < 10000; i++)
        names.push_back(std::string(static_cast<std::size_t>(i % 300), 'x'));
    std::size_t bytes = 0;
    for (const std::string &name : names)
        bytes += name.size();
    PLAIN_CHECK(bytes == 10000 / 300 * (299 * 300 / 2) + 99 * 100 / 2);
}
