/* What became of pages that could not change their addresses, on kernels that unmap the new place first: another thread
 * may be there by then. The mremap below stands for such a kernel. */
#define _GNU_SOURCE
#include "tests/plain.h"

#include "core/os.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define BYTES ((size_t)1 << 20)

static int failure;         /* 0: none */
static bool is_taken;       /* at once, by another thread */
static unsigned call_count; /* with a given place */

void *mremap(void *start, size_t old_bytes, size_t new_bytes, int flags, ...)
{
    void *place = NULL;
    if ((flags & MREMAP_FIXED) != 0) {
        va_list more;
        va_start(more, flags);
        place = va_arg(more, void *);
        va_end(more);
        call_count++;
        if (failure != 0) {
            munmap(place, new_bytes);
            if (is_taken)
                *(char *)mmap(place, new_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                              0) = 5;
            errno = failure;
            return MAP_FAILED;
        }
    }
    return (void *)syscall(SYS_mremap, start, old_bytes, new_bytes, flags, place);
}

static bool is_all(const char *p, int value)
{
    for (size_t i = 0; i < BYTES; i++)
        if (p[i] != value)
            return false;
    return true;
}

PLAIN_TEST(memory_moves)
{
    char *from = bmm__os_map(BYTES, BMM__GRANULE), *to = bmm__os_map(BYTES, BMM__GRANULE);
    memset(from, 1, BYTES);
    PLAIN_CHECK_EQUAL(bmm__os_move(from, BYTES, to), BMM__OS_MOVED);
    PLAIN_CHECK(is_all(from, 0) && is_all(to, 1));
    PLAIN_CHECK(bmm__os_resize(to, BYTES, BYTES / 2) == BMM__OS_RESIZED);
}

PLAIN_TEST(memory_of_several_mappings_stays_where_it_is)
{
    char *from = bmm__os_map(BYTES, BMM__GRANULE), *to = bmm__os_map(BYTES, BMM__GRANULE);
    memset(from, 1, BYTES);
    madvise(from, BYTES / 2, MADV_DONTFORK);
    if (mremap(from, BYTES, 2 * BYTES, 0) != MAP_FAILED || errno != EFAULT)
        PLAIN_SKIP("this system (an emulator) keeps no mappings apart");
    call_count = 0;
    PLAIN_CHECK_EQUAL(bmm__os_move(from, BYTES, to), BMM__OS_KEPT);
    PLAIN_CHECK_EQUAL(call_count, 0);
    PLAIN_CHECK(is_all(from, 1) && is_all(to, 0));
    PLAIN_CHECK_EQUAL(bmm__os_resize(from, BYTES, 2 * BYTES), BMM__OS_CANNOT);
}

PLAIN_TEST(a_place_that_was_unmapped_is_mapped_again)
{
    char *from = bmm__os_map(BYTES, BMM__GRANULE), *to = bmm__os_map(BYTES, BMM__GRANULE);
    memset(from, 1, BYTES);
    failure = ENOMEM;
    PLAIN_CHECK_EQUAL(bmm__os_move(from, BYTES, to), BMM__OS_KEPT);
    PLAIN_CHECK(is_all(from, 1) && is_all(to, 0));
    memset(to, 2, BYTES);
    PLAIN_CHECK(!bmm__os_remap(from, BYTES, bmm__os_reserve(2 * BYTES, BMM__GRANULE), 2 * BYTES));
    PLAIN_CHECK(is_all(from, 1));
    failure = 0;
}

PLAIN_TEST(a_place_that_another_thread_took_is_lost_and_no_second_one_is)
{
    char *from = bmm__os_map(BYTES, BMM__GRANULE), *to = bmm__os_map(BYTES, BMM__GRANULE);
    memset(from, 1, BYTES);
    failure = ENOMEM;
    is_taken = true;
    PLAIN_CHECK_EQUAL(bmm__os_move(from, BYTES, to), BMM__OS_LOST);
    PLAIN_CHECK(is_all(from, 1) && *to == 5);
    call_count = 0;
    PLAIN_CHECK_EQUAL(bmm__os_move(from, BYTES, bmm__os_map(BYTES, BMM__GRANULE)), BMM__OS_KEPT);
    char *place = bmm__os_reserve(2 * BYTES, BMM__GRANULE);
    PLAIN_CHECK(!bmm__os_remap(from, BYTES, place, 2 * BYTES));
    PLAIN_CHECK(bmm__os_reserve_at(place, 2 * BYTES)); /* it was given back */
    PLAIN_CHECK_EQUAL(call_count, 0);
    PLAIN_CHECK(is_all(from, 1));
}
