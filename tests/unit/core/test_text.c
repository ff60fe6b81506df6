#include "core/text.h"

#include <criterion/criterion.h>
#include <string.h>

Test(text, numbers)
{
    struct bmm__text text;
    bmm__text_begin(&text);
    bmm__text_put_decimal(&text, UINT64_MAX);
    bmm__text_put(&text, " ");
    bmm__text_put_hex(&text, 0);
    bmm__text_put_hex(&text, UINT64_MAX);
    const char *expected = "brainmm: 18446744073709551615 0x00xffffffffffffffff";
    cr_assert_eq(text.used, strlen(expected));
    cr_assert_arr_eq(text.data, expected, text.used);
}

Test(text, is_cut_with_room_for_the_line_end)
{
    struct bmm__text text;
    bmm__text_begin(&text);
    for (int i = 0; i < 500; i++)
        bmm__text_put(&text, "1234567");
    cr_assert_eq(text.used, BMM__TEXT_BYTES - 1);
}
