#include "debug/bump.h"

#include <criterion/criterion.h>
#include <sys/mman.h>

#define KIB ((size_t)1024)
#define PAGES_MAX 1024

static size_t resident(char *start, size_t bytes)
{
    unsigned char pages[PAGES_MAX];
    size_t page = bmm__os_page_bytes(), count = 0;
    cr_assert(bytes / page <= PAGES_MAX && mincore(start, bytes, pages) == 0);
    for (size_t i = 0; i < bytes / page; i++)
        count += pages[i] & 1;
    return count * page;
}

static char *piece(size_t bytes)
{
    char *start = bmm__os_map(bytes, BMM__GRANULE);
    cr_assert_not_null(start);
    return start;
}

/* Older systems populate nothing. */
static size_t on_this_system(size_t bytes)
{
    char *probe = piece(BMM__GRANULE);
    bmm__os_populate(probe, BMM__GRANULE);
    return resident(probe, BMM__GRANULE) != 0 ? bytes : 0;
}

Test(bump, hands_out_in_order)
{
    struct bmm__bump bump = { 0 };
    char *start = piece(256 * KIB);
    bmm__bump_begin(&bump, start, 256 * KIB);
    cr_assert_eq(bmm__bump_take(&bump, 64), start);
    cr_assert_eq(bmm__bump_take(&bump, 100 * KIB), start + 64);
    cr_assert_eq(bump.left, 156 * KIB - 64);
    cr_assert_eq(bmm__bump_take(&bump, bump.left), start + 64 + 100 * KIB);
    cr_assert_eq(bump.left, 0);
    for (size_t i = 0; i < 256 * KIB; i += KIB)
        cr_assert_eq(start[i], 0);
}

Test(bump, memory_comes_a_step_at_a_time)
{
    struct bmm__bump bump;
    char *start = piece(2048 * KIB);
    bmm__bump_begin(&bump, start, 2048 * KIB);
    cr_assert_eq(resident(start, 2048 * KIB), 0);
    bmm__bump_take(&bump, 64);
    cr_assert_eq(resident(start, 2048 * KIB), on_this_system(64 * KIB));
    bmm__bump_take(&bump, 64 * KIB - 64);
    cr_assert_eq(resident(start, 2048 * KIB), on_this_system(64 * KIB));
    bmm__bump_take(&bump, 64 * KIB + 64);
    cr_assert_eq(resident(start, 2048 * KIB), on_this_system(192 * KIB));
    bmm__bump_take(&bump, bump.left);
    cr_assert_eq(resident(start, 2048 * KIB), on_this_system(2048 * KIB));
}

Test(bump, a_small_piece_is_touched_by_who_uses_it)
{
    struct bmm__bump bump;
    char *start = piece(BMM__GRANULE);
    bmm__bump_begin(&bump, start, BMM__GRANULE);
    bmm__bump_take(&bump, BMM__GRANULE);
    cr_assert_eq(resident(start, BMM__GRANULE), 0);
}

Test(bump, nothing_behind_the_piece_is_touched)
{
    struct bmm__bump bump;
    char *start = piece(1024 * KIB);
    bmm__bump_begin(&bump, start, 1000 * KIB); /* of which a step is no part */
    bmm__bump_take(&bump, 999 * KIB);
    cr_assert_eq(resident(start + 1000 * KIB, 24 * KIB), 0);
    cr_assert_eq(resident(start, 1000 * KIB), on_this_system(1000 * KIB));
}
