/* Asking what can be read, at the edges of pages. */
#include "../plain.h"

#include "core/os.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>

PLAIN_TEST(own_memory_can_be_read)
{
    char here = 1;
    PLAIN_CHECK(bmm__os_can_read(&here, 1));
    PLAIN_CHECK(bmm__os_can_read("text", 1));
}

PLAIN_TEST(what_is_not_there_cannot)
{
    PLAIN_CHECK(!bmm__os_can_read(NULL, 8));
    PLAIN_CHECK(!bmm__os_can_read((const void *)7, 1));
    PLAIN_CHECK(!bmm__os_can_read((const void *)UINTPTR_MAX, 1));
    PLAIN_CHECK(!bmm__os_can_read((const void *)(uintptr_t)0x8000000000000000u, 8));
}

PLAIN_TEST(pages_without_access_cannot)
{
    size_t page = bmm__os_page_bytes();
    char *pages = bmm__os_map(BMM__GRANULE, BMM__GRANULE);
    PLAIN_CHECK(pages != NULL && bmm__os_protect(pages + 2 * page, page, BMM__OS_NONE));
    PLAIN_CHECK(bmm__os_can_read(pages + 2 * page - 1, 1));
    PLAIN_CHECK(!bmm__os_can_read(pages + 2 * page, 8));
    PLAIN_CHECK(!bmm__os_can_read(pages + 3 * page - 8, 8));
    PLAIN_CHECK(bmm__os_can_read(pages + 3 * page, 1));
    bmm__os_release(pages, BMM__GRANULE);
    PLAIN_CHECK(!bmm__os_can_read(pages, 1));
}

PLAIN_TEST(asking_changes_nothing)
{
    sigset_t before, after;
    sigprocmask(SIG_BLOCK, NULL, &before);
    errno = 77;
    bmm__os_can_read(NULL, 1);
    bmm__os_can_read(&before, 8);
    PLAIN_CHECK_EQUAL(errno, 77);
    sigprocmask(SIG_BLOCK, NULL, &after);
    for (int i = 1; i < 65; i++)
        PLAIN_CHECK_EQUAL(sigismember(&after, i), sigismember(&before, i));
}
