#include "debug/graveyard.h"

#include <criterion/criterion.h>

static struct bmm__record record_of(uint8_t state, uint8_t mode, uint32_t stack)
{
    struct bmm__record record = {
        .alloc_stack = stack, .align_log2 = 4, .mode = mode, .state = state, .kind = BMM_KIND_MALLOC
    };
    record.words[1] = 5000000000; /* the size */
    return record;
}

Test(graveyard, finds_by_the_blocks_address)
{
    struct bmm__record found, buried = record_of(BMM_SLOT_FREE, BMM_MODE_CHECK, 7);
    bmm__graveyard_bury(0x100000, &buried);
    cr_assert_not(bmm__graveyard_find(0x100000, &found));
    cr_assert(bmm__graveyard_find(0x100010, &found));
    cr_assert_eq(found.alloc_stack, 7);
    cr_assert_eq(bmm__record_size(&found), 5000000000);
    cr_assert_not(bmm__graveyard_find(0, &found));
}

Test(graveyard, the_newest_counts_and_the_oldest_go)
{
    struct bmm__record found;
    for (uint32_t i = 1; i <= 1000; i++) {
        struct bmm__record buried = record_of(BMM_SLOT_FREE, BMM_MODE_LEAK, i);
        bmm__graveyard_bury(0x100000 + i % 10 * 0x10000, &buried);
    }
    cr_assert(bmm__graveyard_find(0x100000, &found));
    cr_assert_eq(found.alloc_stack, 1000);
    for (uint32_t i = 1; i <= 200; i++) {
        struct bmm__record buried = record_of(BMM_SLOT_FREE, BMM_MODE_LEAK, i);
        bmm__graveyard_bury(0x900000 + (uintptr_t)i * 0x10000, &buried);
    }
    cr_assert_not(bmm__graveyard_find(0x100000, &found));
}

Test(graveyard, what_was_not_freed_is_not_dead)
{
    struct bmm__record found, moved = record_of(BMM_SLOT_NEVER, BMM_MODE_LEAK, 1);
    bmm__graveyard_bury(0x100000, &moved);
    cr_assert_not(bmm__graveyard_find(0x100000, &found));
}
