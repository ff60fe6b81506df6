/* Whose block it is, and the trimming of stacks that the answer rests on. */
#include "report/ownership.h"
#include "stacks.h"

#include <criterion/criterion.h>

#define START " libc.so.6!__libc_start_call_main libc.so.6!__libc_start_main program!_start"

static bool is_runtime(const char *text)
{
    struct stack_text made;
    return bmm__stack_is_runtime(stack_of_text(&made, text));
}

Test(ownership, table_is_sorted)
{
    for (size_t i = 1; i < bmm__handing_over_count; i++)
        cr_assert_lt(strcmp(bmm__handing_over[i - 1], bmm__handing_over[i]), 0, "%s before %s",
                     bmm__handing_over[i - 1], bmm__handing_over[i]);
    cr_assert(bmm__hands_over("strdup"));
    cr_assert(bmm__hands_over(bmm__handing_over[0]));
    cr_assert(bmm__hands_over(bmm__handing_over[bmm__handing_over_count - 1]));
    cr_assert_not(bmm__hands_over("printf"));
}

Test(ownership, what_the_program_is_handed_is_its_own)
{
    static const char *const stacks[] = {
        "program!main" START,
        "program!make program!main" START,
        "libc.so.6!strdup program!main" START,
        "libc.so.6!__vasprintf_internal libc.so.6!asprintf program!main" START,
        "libc.so.6! libc.so.6!fopen program!main" START,
        "libc.so.6!getdelim program!main" START,
        "libbrainmm_debug.so!malloc libc.so.6!strdup program!main" START,
        "libstdc++.so.6!std::string::_M_create program!main" START,
        "libfoo.so!init ld-linux-x86-64.so.2!call_init ld-linux-x86-64.so.2!_dl_init",
        "program!compare libc.so.6!qsort program!main" START,
        "program!thread libc.so.6!start_thread libc.so.6!clone3",
        "program!at_exit libc.so.6!exit" START,
        "libc.so.6! libc.so.6!getaddrinfo program!main" START,
        "libstdc++.so.6!std::locale::name program!main" START,
        "program!std::num_put<mine> program!main" START,
    };
    for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++)
        cr_expect_not(is_runtime(stacks[i]), "%s", stacks[i]);
}

Test(ownership, what_libc_keeps_is_not)
{
    static const char *const stacks[] = {
        "libc.so.6!_IO_file_doallocate libc.so.6!_IO_doallocbuf libc.so.6!puts program!main" START,
        "libc.so.6!_IO_file_doallocate libc.so.6!getdelim program!main" START,
        "libc.so.6! libc.so.6!setlocale program!main" START,
        "libc.so.6!tzset program!main" START,
        "ld-linux-x86-64.so.2!_dl_allocate_tls libc.so.6!pthread_create program!main" START,
        "ld-linux-x86-64.so.2! libc.so.6!dlopen program!main" START,
        "ld-linux-x86-64.so.2!__tls_get_addr program!work program!main" START,
        "ld-linux-x86-64.so.2! libc.so.6! libc.so.6!getaddrinfo program!main" START,
        "libstdc++.so.6!pool ld-linux-x86-64.so.2!call_init ld-linux-x86-64.so.2!_dl_init",
        "libc.so.6!__libc_start_main program!_start",
        "libc.so.6!atexit program!main" START,
        "libc.so.6! libc.so.6!__nss_database_get libc.so.6! libc.so.6!getaddrinfo program!main" START,
        "libc.so.6! libc.so.6!__resolv_context_get libc.so.6! libc.so.6!getaddrinfo program!main" START,
        "libc.so.6!__check_pf libc.so.6!getaddrinfo program!main" START,
        "libstdc++.so.6!std::locale::_Impl::_Impl libstdc++.so.6!std::locale::locale(char program!main" START,
        "libstdc++.so.6! libstdc++.so.6!std::num_put<char libstdc++.so.6!std::ostream program!main" START,
    };
    for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++)
        cr_expect(is_runtime(stacks[i]), "%s", stacks[i]);
}

Test(ownership, doubt_shows_the_block)
{
    struct stack_text made;
    cr_expect_not(is_runtime(""), "no stack");
    cr_expect_not(is_runtime("libbrainmm_debug.so!malloc"), "nothing but the allocator");
    cr_expect_not(is_runtime("libc.so.6! program!main" START), "a libc function without a name");
    stack_of_text(&made, "libc.so.6!strdup");
    made.stack.is_truncated = true;
    cr_expect_not(bmm__stack_is_runtime(&made.stack), "who called strdup was not seen");
}

Test(trim, allocator_on_top_and_start_below_are_left_out)
{
    struct stack_text made;
    const struct bmm__stack *stack = stack_of_text(&made, "libbrainmm_debug.so!malloc program!make program!main" START);
    cr_assert_eq(bmm__stack_top(stack), 1);
    cr_assert_eq(bmm__stack_bottom(stack, 1), 3);
    stack = stack_of_text(&made, "program!work libc.so.6!start_thread libc.so.6!clone3");
    cr_assert_eq(bmm__stack_bottom(stack, 0), 1);
    stack = stack_of_text(&made, "program!work libstdc++.so.6! libc.so.6!start_thread libc.so.6!clone3");
    cr_assert_eq(bmm__stack_bottom(stack, 0), 1);
    stack = stack_of_text(&made, "libc.so.6!exit libc.so.6!__libc_start_main program!_start");
    cr_assert_eq(bmm__stack_bottom(stack, 0), 3, "a stack is never trimmed to nothing");
}

Test(trim, the_site_is_of_the_program_and_has_a_line_if_one_has)
{
    struct stack_text made;
    const struct bmm__stack *stack = stack_of_text(
        &made, "libbrainmm_debug.so!malloc libc.so.6!strdup program!copy program!invite program!main" START);
    cr_expect_eq(bmm__stack_site(stack), 2, "no line is known: the innermost of the program");
    made.frames[3].file = "guests.c";
    cr_expect_eq(bmm__stack_site(stack), 3);
    made.frames[1].file = "strdup.c";
    cr_expect_eq(bmm__stack_site(stack), 3, "libc's own lines say nothing");
    made.frames[3].file = NULL;
    made.frames[5].file = "libc-start.c";
    cr_expect_eq(bmm__stack_site(stack), 2, "nor does where the program starts");
    made.frames[2].file = "/usr/include/c++/12/bits/new_allocator.h";
    made.frames[3].file = "/usr/include/c++/12/vector";
    made.frames[4].file = NULL;
    for (uint32_t i = 0; i < stack->count; i++)
        bmm__frame_settle(&made.frames[i]);
    cr_expect_eq(bmm__stack_site(stack), 2, "where only templates have lines, the innermost of them");
    made.frames[4].file = "list.cc";
    cr_expect_eq(bmm__stack_site(stack), 4, "else who used them");
    cr_expect_eq(bmm__stack_site(stack_of_text(&made, "libbrainmm_debug.so!malloc libc.so.6!strdup")), 1);
    cr_expect_eq(bmm__stack_site(stack_of_text(&made, "libbrainmm_debug.so!malloc")), 0);
    cr_expect_eq(bmm__stack_site(stack_of_text(&made, "")), 0);
}
