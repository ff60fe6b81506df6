#include "debug/guard.h"
#include "debug/poison.h"

#include <criterion/criterion.h>
#include <string.h>

static unsigned char memory[256] __attribute__((aligned(16)));
static struct bmm_snapshot_changed changed[BMM_ERROR_CHANGED_MAX];

Test(guard, byte_exact_at_every_offset_and_length)
{
    bmm__guard_open();
    for (size_t from = 64; from < 80; from++) {
        for (size_t to = from; to < 112; to++) {
            memset(memory, 0x11, sizeof memory);
            uintptr_t start = (uintptr_t)memory + from, end = (uintptr_t)memory + to;
            bmm__guard_lay(start, end);
            cr_assert(bmm__guard_is_intact(start, end));
            for (size_t i = 0; i < sizeof memory; i++) {
                uint8_t expected = i >= from && i < to ? bmm__guard_byte((uintptr_t)memory + i) : 0x11;
                cr_assert_eq(memory[i], expected);
            }
        }
    }
}

Test(guard, every_single_changed_byte_is_noticed_and_listed)
{
    bmm__guard_open();
    uintptr_t start = (uintptr_t)memory + 5, end = start + 60;
    for (uintptr_t at = start; at < end; at++) {
        bmm__guard_lay(start, end);
        *(unsigned char *)at ^= 1;
        cr_assert_not(bmm__guard_is_intact(start, end));
        uint32_t listed = 0;
        cr_assert_eq(bmm__guard_changes(start, end, start + 10, changed, &listed), 1);
        cr_assert_eq(listed, 1);
        cr_assert_eq(changed[0].offset, (int64_t)(at - start) - 10);
        cr_assert_eq(changed[0].expected ^ changed[0].found, 1);
    }
}

Test(guard, never_the_usual_bytes)
{
    bmm__guard_open();
    for (uintptr_t a = 0; a < 100000; a++) {
        uint8_t byte = bmm__guard_byte(a);
        cr_assert(byte >= 0x80 && byte != 0xff);
    }
}

Test(guard, differs_by_address)
{
    bmm__guard_open();
    unsigned same = 0;
    for (uintptr_t a = 0; a < 64000; a++)
        same += bmm__guard_byte(a) == bmm__guard_byte(a + 64);
    cr_assert_lt(same, 3000); /* 1000 by chance */
}

Test(guard, at_most_sixteen_are_listed)
{
    bmm__guard_open();
    memset(memory, 0, sizeof memory);
    uint32_t listed = 0;
    uintptr_t start = (uintptr_t)memory;
    cr_assert_eq(bmm__guard_changes(start, start + 100, start, changed, &listed), 100);
    cr_assert_eq(listed, BMM_ERROR_CHANGED_MAX);
}

Test(poison, every_size_and_byte)
{
    uintptr_t block = (uintptr_t)memory + 16;
    for (size_t size = 0; size < 100; size++) {
        memset(memory, 0, sizeof memory);
        bmm__poison_lay(block, size);
        cr_assert(bmm__poison_is_intact(block, size));
        cr_assert_eq(memory[15], 0);
        cr_assert_eq(memory[16 + size], 0);
        for (size_t i = 0; i < size; i++) {
            memory[16 + i] ^= 0x40;
            cr_assert_not(bmm__poison_is_intact(block, size));
            uint32_t listed = 0;
            cr_assert_eq(bmm__poison_changes(block, size, changed, &listed), 1);
            cr_assert_eq(changed[0].offset, (int64_t)i);
            memory[16 + i] ^= 0x40;
        }
    }
}

Test(poison, word_is_not_canonical_and_names_the_block)
{
    uint64_t word = bmm__poison_word((uintptr_t)memory);
    cr_assert_eq(word >> 48, 0xdead);
    cr_assert_eq(bmm__poison_block(word), (uintptr_t)memory & ~(uintptr_t)15 & ((UINT64_C(1) << 46) - 1));
}

Test(poison, every_byte_differs_from_a_zero_and_from_text)
{
    static const uintptr_t blocks[] = { 16, 0x10000, 0x7f0000001000, 0xffffffff0, 0x123456789ab0, 0x3fffffffffff };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        uint64_t word = bmm__poison_word(blocks[i]);
        cr_expect_eq(word & 0x8080808080808080, 0x8080808080808080);
        cr_expect_eq(bmm__poison_block(word), blocks[i] & ~(uintptr_t)15 & ((UINT64_C(1) << 46) - 1));
    }
}
