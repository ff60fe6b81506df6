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

PLAIN_TEST(the_handler_makes_room_for_every_form)
{
    forget();
    rooms = 0;
    for (int form = 0; form < 4; form++) {
        handler_calls = 0;
        std::set_new_handler(makes_room);
        void *p = form == 0   ? ::operator new(40)
                  : form == 1 ? ::operator new(40, std::nothrow)
                  : form == 2 ? ::operator new[](40)
                              : ::operator new[](40, std::nothrow);
        PLAIN_CHECK(p != nullptr && handler_calls == 3);
        form < 2 ? ::operator delete(p) : ::operator delete[](p);
    }
    std::set_new_handler(nullptr);
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
