/* Huge pages are asked for as long as the block lives, and no longer. */
#include "tests/plain.h"

#include "core/client.h"
#include "core/os.h"
#include "core/purge.h"

#include <inttypes.h>
#include <string.h>

#define MIB ((size_t)1 << 20)

/* Whether the system was asked for huge pages at the address. */
static bool is_asked_for(const void *p)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool is_here = false, is_asked = false;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        uintptr_t start, end;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
            is_here = (uintptr_t)p - start < end - start;
        else if (is_here && strncmp(line, "VmFlags:", 8) == 0)
            is_asked = strstr(line, " hg") != NULL;
    }
    if (maps != NULL)
        fclose(maps);
    return is_asked;
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

PLAIN_TEST(the_wish_ends_with_the_block)
{
    char *p = huge_block(8 * MIB), *last = p + 8 * MIB - 1;
    PLAIN_CHECK(is_asked_for(last));
    PLAIN_CHECK(bmm__core_free(p));
    PLAIN_CHECK(!is_asked_for(p) && !is_asked_for(last));
}

PLAIN_TEST(a_place_that_was_used_before_is_asked_for_again)
{
    char *p = huge_block(8 * MIB);
    bmm__core_free(p);
    char *again = huge_block(6 * MIB);
    PLAIN_CHECK(again == p); /* the lowest place */
    PLAIN_CHECK(is_asked_for(again + 6 * MIB - 1) && !is_asked_for(again + 6 * MIB));
    bmm__core_free(again);
}

PLAIN_TEST(what_is_cut_off_is_asked_for_no_more)
{
    char *p = huge_block(16 * MIB);
    PLAIN_CHECK(bmm__core_resize(p, 8 * MIB));
    PLAIN_CHECK(is_asked_for(p + 8 * MIB - 1) && !is_asked_for(p + 8 * MIB));
    PLAIN_CHECK(bmm__core_resize(p, 2 * MIB)); /* not huge any more */
    PLAIN_CHECK(!is_asked_for(p));
    bmm__core_free(p);
}

PLAIN_TEST(a_block_that_moved_has_its_wish_there)
{
    char *p = huge_block(5 * MIB), *behind = huge_block(5 * MIB);
    char *moved = bmm__core_remap(p, 20 * MIB);
    PLAIN_CHECK(moved != NULL && moved != p);
    PLAIN_CHECK(is_asked_for(moved) && is_asked_for(moved + 20 * MIB - 1));
    PLAIN_CHECK(!is_asked_for(p));
    PLAIN_CHECK(moved[0] == 1 && moved[5 * MIB - 1] == 1);
    bmm__core_free(moved);
    bmm__core_free(behind);
    bmm__purge_all();
    PLAIN_CHECK(!is_asked_for(moved) && !is_asked_for(behind));
}
