/* Huge pages are asked for where huge blocks are, and no longer where smaller ones come after them. */
#define _GNU_SOURCE
#include "tests/plain.h"

#include "core/client.h"
#include "core/os.h"
#include "core/purge.h"
#include "core/span.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MIB ((size_t)1 << 20)
#define UNIT (2 * MIB)

/* For how many of the bytes from p on the system was asked for huge pages. */
static size_t asked_bytes(const char *p, size_t bytes)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    uintptr_t from = 0, to = 0;
    size_t asked = 0;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        uintptr_t start, end;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2) {
            from = start > (uintptr_t)p ? start : (uintptr_t)p;
            to = end < (uintptr_t)p + bytes ? end : (uintptr_t)p + bytes;
        } else if (from < to && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " hg") != NULL) {
            asked += to - from;
        }
    }
    if (maps != NULL)
        fclose(maps);
    return asked;
}

static bool is_asked_for(const char *p)
{
    return asked_bytes(p, 1) == 1;
}

static char *huge_block(size_t bytes)
{
    char *p = bmm__core_alloc(bytes, 16, false);
    PLAIN_CHECK(p != NULL);
    memset(p, 1, bytes);
    if (!is_asked_for(p))
        PLAIN_SKIP("this system has no huge pages");
    return p;
}

/* Whether the place of a huge page that p is in is asked for, all of it. */
static bool may_be_huge(const char *p)
{
    return asked_bytes(p - (uintptr_t)p % UNIT, UNIT) == UNIT;
}

static size_t resident_bytes(char *p, size_t bytes)
{
    unsigned char pages[UNIT / 4096];
    size_t resident = 0;
    if (mincore(p, bytes, pages) != 0) /* behind the last place of all nothing is mapped */
        return 0;
    for (size_t i = 0; i < bytes / 4096; i++)
        resident += (pages[i] & 1) * 4096;
    return resident;
}

/* A place of so many bytes that was asked for, all of it, and has no memory now. */
static char *former_place(size_t bytes)
{
    char *p = huge_block(bytes);
    bmm__core_free(p);
    bmm__purge_all();
    PLAIN_CHECK(may_be_huge(p) && may_be_huge(p + bytes - UNIT));
    return p;
}

PLAIN_TEST(behind_a_block_that_ends_early_in_a_unit_is_nothing)
{
    char *place = former_place(20 * MIB);
    char *p = huge_block(4 * MIB + MIB / 2), *behind = p + 4 * MIB + MIB / 2;
    PLAIN_CHECK(p == place);
    PLAIN_CHECK(is_asked_for(behind - 1)); /* it is one mapping */
    PLAIN_CHECK(!may_be_huge(behind));
    PLAIN_CHECK_EQUAL(resident_bytes(behind, MIB), 0);
    char *small = bmm__core_alloc(MIB + MIB / 4, 16, false); /* there, or elsewhere */
    bmm__core_free(p);
    bmm__core_free(small);
    bmm__purge_all();
    PLAIN_CHECK_EQUAL(resident_bytes(p, UNIT), 0);
    PLAIN_CHECK_EQUAL(resident_bytes(p + 4 * MIB, UNIT), 0);
}

PLAIN_TEST(a_block_that_ends_late_in_a_unit_has_all_of_it)
{
    char *p = huge_block(5 * MIB + 3 * MIB / 4);
    struct bmm__slot slot;
    PLAIN_CHECK(bmm__core_find((uintptr_t)p, &slot));
    PLAIN_CHECK_EQUAL(slot.bytes, 6 * MIB);
    PLAIN_CHECK(may_be_huge(p + 4 * MIB));
    bmm__core_free(p);
    bmm__purge_all();
    PLAIN_CHECK_EQUAL(resident_bytes(p + 4 * MIB, UNIT), 0);
}

PLAIN_TEST(a_block_that_shrinks_leaves_no_wish_where_it_does_not_fill)
{
    char *p = huge_block(12 * MIB);
    PLAIN_CHECK(bmm__core_resize(p, 8 * MIB + MIB / 2));
    PLAIN_CHECK(may_be_huge(p + 6 * MIB) && !may_be_huge(p + 8 * MIB) && may_be_huge(p + 10 * MIB));
    PLAIN_CHECK(bmm__core_resize(p, 3 * MIB));
    PLAIN_CHECK(!is_asked_for(p) && !is_asked_for(p + 3 * MIB - 1));
    PLAIN_CHECK(bmm__core_resize(p, 8 * MIB));
    PLAIN_CHECK(may_be_huge(p) && may_be_huge(p + 6 * MIB));
    bmm__core_free(p);
}

/* More at once than is kept: most of it is given back when it is freed. */
PLAIN_TEST(what_came_with_huge_pages_goes_back_where_much_is_freed)
{
    enum { COUNT = 50 };
    static char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++)
        blocks[i] = huge_block(5 * MIB + 5 * MIB / 8);
    for (int i = 0; i < COUNT; i++)
        bmm__core_free(blocks[i]);
    bmm__purge_all();
    size_t resident = 0;
    for (int i = 0; i < COUNT; i++)
        resident += resident_bytes(blocks[i] + 4 * MIB, UNIT);
    PLAIN_CHECK_EQUAL(resident, 0);
}

PLAIN_TEST(the_wish_stays_for_the_next_huge_block)
{
    char *p = huge_block(8 * MIB);
    PLAIN_CHECK(is_asked_for(p + 8 * MIB - 1));
    PLAIN_CHECK(bmm__core_free(p));
    char *again = huge_block(6 * MIB);
    PLAIN_CHECK(again == p); /* the lowest place */
    PLAIN_CHECK(may_be_huge(again));
    bmm__core_free(again);
}

/* Of slots, of page runs, and of one block. */
PLAIN_TEST(the_wish_ends_where_smaller_spans_begin)
{
    static const size_t sizes[] = { 64, 50000, 2 * MIB };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *p = huge_block(30 * MIB);
        bmm__core_free(p);
        size_t most = 200 * MIB / sizes[i], inside = 0, count = 0;
        char **blocks = calloc(most, sizeof *blocks);
        while (inside * sizes[i] < 4 * MIB && count < most) { /* the places before p come first */
            char *block = blocks[count++] = bmm__core_alloc(sizes[i], 16, false);
            block[0] = 1;
            if (block < p || block >= p + 30 * MIB)
                continue;
            if (inside++ * sizes[i] % BMM__GRANULE != 0) /* reading smaps takes its time */
                continue;
            if (may_be_huge(block) || may_be_huge(block + sizes[i] - 1))
                break;
        }
        PLAIN_CHECK(inside * sizes[i] >= 4 * MIB);
        for (size_t k = 0; k < count; k++)
            bmm__core_free(blocks[k]);
        free(blocks);
    }
}

PLAIN_TEST(a_small_block_that_grows_is_not_asked_for)
{
    char *p = huge_block(30 * MIB), *small;
    bmm__core_free(p);
    do /* the places before it are small, and stay in use */
        small = bmm__core_alloc(MIB + MIB / 4, 16, false);
    while (small < p);
    PLAIN_CHECK(small < p + 30 * MIB);
    PLAIN_CHECK(bmm__core_resize(small, 3 * MIB));
    PLAIN_CHECK(!may_be_huge(small) && !may_be_huge(small + 3 * MIB - 1));
    PLAIN_CHECK(bmm__core_resize(small, 8 * MIB));
    char *unit = small + -(uintptr_t)small % UNIT; /* the block may begin in the middle of one */
    PLAIN_CHECK(is_asked_for(unit) && is_asked_for(small + 8 * MIB - 1));
    bmm__core_free(small);
}

/* To where there is room for more than it needs. */
PLAIN_TEST(a_small_block_that_moves_is_not_asked_for)
{
    char *place = former_place(30 * MIB), *small;
    do /* the places before are small, and stay in use */
        small = bmm__core_alloc(MIB + MIB / 4, 16, false);
    while (small < place);
    char *behind = bmm__core_alloc(MIB + MIB / 4, 16, false);
    char *moved = bmm__core_remap(small, 3 * MIB, true);
    PLAIN_CHECK(moved != NULL && moved > place && moved < place + 30 * MIB);
    PLAIN_CHECK(!may_be_huge(moved) && !may_be_huge(moved + 3 * MIB - 1));
    bmm__core_free(moved);
    bmm__core_free(behind);
}

PLAIN_TEST(a_block_that_moved_has_its_wish_there)
{
    char *p = huge_block(5 * MIB), *behind = huge_block(5 * MIB);
    char *moved = bmm__core_remap(p, 20 * MIB, true);
    bmm__purge_all();
    for (size_t i = 0; i < 6; i += 2)
        PLAIN_CHECK_EQUAL(resident_bytes(p + i * MIB, UNIT), 0);
    PLAIN_CHECK(moved != NULL && moved != p);
    PLAIN_CHECK(is_asked_for(moved) && is_asked_for(moved + 20 * MIB - 1));
    PLAIN_CHECK(moved[0] == 1 && moved[5 * MIB - 1] == 1);
    bmm__core_free(moved);
    bmm__core_free(behind);
}
