/* Rows read from code against the unwind tables: for all calls in libc, libm and this program, the row that
 * stack_code.c makes of the instructions behind the call must say what the tables say, or nothing. (Not so in libraries whose
 * functions catch exceptions: between them stands code that ends by a throw and falls into the next. It needs tables, so
 * nobody asks for such rows.) And some instructions, by length. */
#include "debug/stack_code.h"
#include "debug/stack_instruction.h"

#include "core/os.h"

#include <criterion/criterion.h>

#include <dlfcn.h>
#include <string.h>

#ifdef __x86_64__

static unsigned same, unsaid, wrong;

static bool agrees(const struct bmm__cfi_row *found, const struct bmm__cfi_row *said)
{
    unsigned fp = BMM__ARCH_FP;
    bool is_kept = found->how[fp] == BMM__CFI_UNSAID, is_said_kept = said->how[fp] <= BMM__CFI_SAME;
    if (found->how[BMM__ARCH_RA] == BMM__CFI_UNDEFINED) /* or abort */
        return true;
    if (is_kept != is_said_kept || (!is_kept && found->value[fp] != said->value[fp]))
        return false;
    if (said->cfa_register == found->cfa_register)
        return said->cfa_value == found->cfa_value;
    /* By rsp and by rbp: one frame, if rbp points at where it was saved. */
    return (found->cfa_register == fp && !is_kept && found->cfa_value == -found->value[fp]) ||
           (said->cfa_register == fp && !is_kept && said->cfa_value == -said->value[fp]);
}

static void compare(const struct bmm__module *module, uintptr_t address)
{
    struct bmm__cfi_row found, said;
    if (bmm__cfi_row_at(module, address, &said) != BMM__CFI_FOUND || said.is_cfa_expression || said.is_signal_frame)
        return;
    if (bmm__code_row_at(module, address, &found) != BMM__CFI_FOUND)
        unsaid++;
    else if (agrees(&found, &said))
        same++;
    else if (wrong++ < 20)
        cr_log_error("%#lx: found reg %u + %ld, fp %d %ld; said reg %u + %ld, fp %d %ld", address - module->bias,
                     found.cfa_register, found.cfa_value, found.how[6], found.value[6], said.cfa_register,
                     said.cfa_value, said.how[6], said.value[6]);
}

/* Calls of the functions that the module's index of unwind tables has. */
static void compare_calls(uintptr_t inside)
{
    struct bmm__module module;
    bool is_certain;
    cr_assert(bmm__module_find(inside, &module, &is_certain));
    same = unsaid = wrong = 0;
    const uint8_t *header = module.unwind_header;
    uint32_t count;
    memcpy(&count, header + 8, sizeof count);
    for (uint32_t i = 0; i + 1 < count; i++) {
        int32_t from, to;
        memcpy(&from, header + 12 + 8 * i, sizeof from);
        memcpy(&to, header + 12 + 8 * (i + 1), sizeof to);
        struct bmm__instruction in;
        const uint8_t *end = header + to;
        for (const uint8_t *at = header + from; at < end; at += in.bytes) {
            if (!bmm__instruction_decode(at, (unsigned)(end - at < 15 ? end - at : 15), &in))
                break;
            if (in.map == BMM__MAP_ONE && (in.opcode == 0xe8 || (in.opcode == 0xff && (in.reg & 7) == 2)))
                compare(&module, (uintptr_t)at + in.bytes - 1);
        }
    }
    cr_log_info("%u the same, %u unsaid, %u wrong", same, unsaid, wrong);
    cr_expect_eq(wrong, 0);
    cr_expect_gt(same, 2 * unsaid);
}

static uintptr_t function_of(const char *library, const char *name)
{
    void *handle = dlopen(library, RTLD_NOW);
    cr_assert_not_null(handle);
    return (uintptr_t)dlsym(handle, name);
}

Test(stack_code, says_what_the_tables_say)
{
    bmm__module_start();
    compare_calls(function_of("libc.so.6", "qsort"));
    compare_calls(function_of("libm.so.6", "exp"));
    compare_calls((uintptr_t)&compare_calls);
}

Test(stack_code, lengths_of_instructions)
{
    static const struct {
        uint8_t bytes[15];
        unsigned length; /* 0: none */
    } cases[] = {
        { { 0x90 }, 1 },
        { { 0xc3 }, 1 },
        { { 0x48, 0x8d, 0x64, 0x24, 0xf0 }, 5 },                 /* lea -16(%rsp), %rsp */
        { { 0x48, 0x8b, 0x04, 0x25, 1, 2, 3, 4 }, 8 },           /* mov 0x4030201, %rax */
        { { 0x48, 0x8b, 0x05, 1, 2, 3, 4 }, 7 },                 /* mov 0x4030201(%rip), %rax */
        { { 0x48, 0xbf, 1, 2, 3, 4, 5, 6, 7, 8 }, 10 },          /* movabs $…, %rdi */
        { { 0x66, 0xb8, 1, 2 }, 4 },                             /* mov $0x201, %ax */
        { { 0x66, 0x81, 0xc4, 1, 2 }, 5 },                       /* add $0x201, %sp */
        { { 0xf7, 0xc0, 1, 2, 3, 4 }, 6 },                       /* test $…, %eax */
        { { 0xf7, 0xd8 }, 2 },                                   /* neg %eax */
        { { 0xff, 0x94, 0x24, 1, 2, 3, 4 }, 7 },                 /* call *0x4030201(%rsp) */
        { { 0x41, 0xff, 0x54, 0x24, 8 }, 5 },                    /* call *8(%r12) */
        { { 0xf3, 0x0f, 0x1e, 0xfa }, 4 },                       /* endbr64 */
        { { 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 }, 10 }, /* nopw %cs:0(%rax,%rax) */
        { { 0x0f, 0x3a, 0x0f, 0xc1, 8 }, 5 },                    /* palignr $8, %mm1, %mm0 */
        { { 0xc5, 0xf8, 0x77 }, 3 },                             /* vzeroupper */
        { { 0xc4, 0xe3, 0x7d, 0x39, 0xc1, 1 }, 6 },              /* vextracti128 $1, %ymm0, %xmm1 */
        { { 0x62, 0xf1, 0xfe, 0x28, 0x6f, 0x46, 1 }, 7 },        /* vmovdqu64 32(%rsi), %ymm0 */
        { { 0xa1, 1, 2, 3, 4, 5, 6, 7, 8 }, 9 },                 /* movabs 0x…, %eax */
        { { 0xc8, 1, 2, 3 }, 4 },                                /* enter */
        { { 0x06 }, 0 },
        { { 0x9a }, 0 },
        { { 0x0f, 0x04 }, 0 },
    };
    struct bmm__instruction in;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool is_one = bmm__instruction_decode(cases[i].bytes, 15, &in);
        cr_expect_eq(is_one ? in.bytes : 0, cases[i].length, "%u: %u", i, in.bytes);
        if (cases[i].length > 0) /* D1 */
            cr_expect_not(bmm__instruction_decode(cases[i].bytes, cases[i].length - 1, &in), "%u", i);
    }
}

#endif
