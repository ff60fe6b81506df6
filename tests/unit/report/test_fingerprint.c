/* Fingerprints: what they see and what they do not. */
#include "report/fingerprint.h"
#include "stacks.h"

#include <criterion/criterion.h>

#define START " libc.so.6!__libc_start_main program!_start"

static const char *of(const char *kind, const char *text)
{
    static char results[4][BMM__FINGERPRINT_BYTES];
    static unsigned next;
    struct stack_text made;
    char *result = results[next++ % 4];
    bmm__fingerprint(result, kind, stack_of_text(&made, text));
    return result;
}

static const char *at_place(char result[BMM__FINGERPRINT_BYTES], const char *text, uint64_t offset)
{
    struct stack_text made;
    stack_of_text(&made, text);
    made.frames[0].offset = offset;
    bmm__frame_settle(&made.frames[0]);
    bmm__fingerprint(result, "malloc", &made.stack);
    return result;
}

Test(fingerprint, scheme_one_never_changes)
{
    cr_assert_str_eq(of("malloc", "program!make program!main" START), "1:d2a2f0cb2a5e5fae");
}

Test(fingerprint, scheme_three_never_changes)
{
    char result[BMM__FINGERPRINT_BYTES];
    cr_assert_str_eq(at_place(result, "stripped! program!make libc.so.6!qsort stripped! program!main" START, 0x10),
                     "3:5617ca72048f96c2");
}

Test(fingerprint, start_code_allocator_and_libc_inside_do_not_count)
{
    const char *plain = of("malloc", "libc.so.6!strdup program!make program!main" START);
    cr_expect_str_eq(of("malloc", "libbrainmm.so!malloc libc.so.6!strdup program!make program!main"), plain);
    cr_expect_str_eq(of("malloc", "libc.so.6! libc.so.6!strdup program!make program!main"), plain);
    cr_expect_str_eq(of("malloc", "libc.so.6!strdup program!make program!main libc.so.6!other program!_start"), plain);
}

Test(fingerprint, functions_kind_and_nameless_modules_count)
{
    const char *plain = of("malloc", "program!make program!main" START);
    cr_expect_str_neq(of("new", "program!make program!main" START), plain);
    cr_expect_str_neq(of("malloc", "program!made program!main" START), plain);
    cr_expect_str_neq(of("malloc", "program!make program!run program!main" START), plain);
    cr_expect_str_neq(of("malloc", "a.so! program!main" START), of("malloc", "b.so! program!main" START));
    cr_expect_str_eq(of("malloc", "/path/one/a.so! program!main" START),
                     of("malloc", "/path/two/a.so! program!main" START));
}

Test(fingerprint, lines_offsets_and_files_do_not_count)
{
    struct stack_text made;
    char first[BMM__FINGERPRINT_BYTES], second[BMM__FINGERPRINT_BYTES];
    stack_of_text(&made, "program!make program!main" START);
    bmm__fingerprint(first, "malloc", &made.stack);
    made.frames[0].line = 77;
    made.frames[0].file = "moved.c";
    made.frames[0].offset = 0x1234;
    made.frames[0].is_inlined = true;
    bmm__frame_settle(&made.frames[0]);
    bmm__fingerprint(second, "malloc", &made.stack);
    cr_assert_str_eq(first, second);
}

Test(fingerprint, where_there_is_no_name_the_place_counts)
{
    char one[BMM__FINGERPRINT_BYTES], other[BMM__FINGERPRINT_BYTES];
    cr_expect_str_neq(at_place(one, "stripped! program!main" START, 0x10),
                      at_place(other, "stripped! program!main" START, 0x20));
    cr_expect_eq(strncmp(one, "3:", 2), 0);
    cr_expect_str_eq(at_place(one, "stripped! program!main" START, 0x20), other);
    at_place(one, "libc.so.6! program!main" START, 0x10);
    at_place(other, "libc.so.6! program!main" START, 0x20);
    cr_expect_str_eq(one, other, "libc's own do not, nor");
    cr_expect_eq(strncmp(one, "1:", 2), 0);
}
