// The program's operator new loops over the new-handler itself, as the default one does, and throws what it likes.
#include "replaced.hh"

struct own_failure : std::bad_alloc {
};

static int rooms, handler_calls;

void *operator new(std::size_t size)
{
    news++;
    while (rooms == 0) {
        std::new_handler handler = std::get_new_handler();
        if (handler == nullptr)
            throw own_failure();
        handler();
    }
    rooms--;
    return std::malloc(size);
}

void operator delete(void *p) noexcept
{
    deletes++;
    std::free(p);
}

static void makes_room()
{
    if (++handler_calls == 3)
        rooms = 1;
}

static void gives_up()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

static bool is_called_thrice(void *p)
{
    bool is_good = p != nullptr && handler_calls == 3;
    handler_calls = rooms = 0;
    return is_good;
}

PLAIN_TEST(the_handler_makes_room_for_every_form)
{
    forget();
    handler_calls = rooms = 0;
    std::set_new_handler(makes_room);
    void *one = ::operator new(40);
    PLAIN_CHECK(is_called_thrice(one));
    void *quiet = ::operator new(40, std::nothrow);
    PLAIN_CHECK(is_called_thrice(quiet));
    void *many = ::operator new[](40);
    PLAIN_CHECK(is_called_thrice(many));
    void *quiet_many = ::operator new[](40, std::nothrow);
    PLAIN_CHECK(is_called_thrice(quiet_many));
    std::set_new_handler(nullptr);
    ::operator delete(one);
    ::operator delete(quiet);
    ::operator delete[](many);
    ::operator delete[](quiet_many);
    PLAIN_CHECK(news == 4 && deletes == 4);
}

PLAIN_TEST(nothrow_forms_catch_what_it_throws)
{
    forget();
    rooms = 0;
    handler_calls = 0;
    std::set_new_handler(gives_up);
    PLAIN_CHECK(::operator new(40, std::nothrow) == nullptr &&handler_calls == 3);
    PLAIN_CHECK(::operator new[](40, std::nothrow) == nullptr &&handler_calls == 3);
    PLAIN_CHECK(std::uncaught_exceptions() == 0);
}

PLAIN_TEST(throwing_forms_throw_the_programs_own)
{
    forget();
    rooms = 0;
    bool is_own = false;
    try {
        ::operator delete[](::operator new[](40));
    } catch (const own_failure &) {
        is_own = true;
    }
    rooms = 1 << 20; // what ends the program may allocate
    PLAIN_CHECK(is_own);
}
