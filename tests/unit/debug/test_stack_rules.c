/* Rules against elfutils: for a sample of the code addresses of libc and libstdc++, every address of every function in
 * it, the row that stack_cfi.c finds and the rule made of it must say what libdw says, or say that they cannot. */
#include "debug/module.h"
#include "debug/stack_cfi.h"
#include "debug/stack_rules.h"

#include <criterion/criterion.h>

#include <dlfcn.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <link.h>
#include <unistd.h>

/* libdw is loaded at run time: test programs of this folder link nothing but Criterion. */
static struct {
    Elf *(*elf_begin)(int, Elf_Cmd, Elf *);
    unsigned (*elf_version)(unsigned);
    Dwarf_CFI *(*getcfi_elf)(Elf *);
    int (*addrframe)(Dwarf_CFI *, Dwarf_Addr, Dwarf_Frame **);
    int (*frame_info)(Dwarf_Frame *, Dwarf_Addr *, Dwarf_Addr *, bool *);
    int (*frame_cfa)(Dwarf_Frame *, Dwarf_Op **, size_t *);
    int (*frame_register)(Dwarf_Frame *, int, Dwarf_Op *, Dwarf_Op **, size_t *);
} dw;

static bool load_libdw(void)
{
    void *elf = dlopen("libelf.so.1", RTLD_NOW), *library = dlopen("libdw.so.1", RTLD_NOW);
    if (!elf || !library)
        return false;
    *(void **)&dw.elf_begin = dlsym(elf, "elf_begin");
    *(void **)&dw.elf_version = dlsym(elf, "elf_version");
    *(void **)&dw.getcfi_elf = dlsym(library, "dwarf_getcfi_elf");
    *(void **)&dw.addrframe = dlsym(library, "dwarf_cfi_addrframe");
    *(void **)&dw.frame_info = dlsym(library, "dwarf_frame_info");
    *(void **)&dw.frame_cfa = dlsym(library, "dwarf_frame_cfa");
    *(void **)&dw.frame_register = dlsym(library, "dwarf_frame_register");
    return dw.elf_begin && dw.elf_version && dw.getcfi_elf && dw.addrframe && dw.frame_info && dw.frame_cfa &&
           dw.frame_register;
}

static unsigned compared, unsupported, wrong;

/* What libdw says about a register: 's' same, 'u' undefined, 'c' saved at CFA + *offset, 'v' the CFA, 'x' something else. */
static char oracle_register(Dwarf_Frame *frame, int number, int64_t *offset)
{
    Dwarf_Op memory[3], *ops;
    size_t count;
    if (dw.frame_register(frame, number, memory, &ops, &count) != 0)
        return 'x';
    if (count == 0)
        return ops == memory ? 'u' : 's';
    if (ops[0].atom != 0x9c || count > 2) /* DW_OP_call_frame_cfa */
        return 'x';
    if (count == 2 && ops[1].atom == 0x9f) /* DW_OP_stack_value */
        return 'v';
    *offset = count == 2 ? (int64_t)ops[1].number : 0;
    return count == 1 || ops[1].atom == 0x23 ? 'c' : 'x';
}

static bool same_register(const struct bmm__cfi_row *row, unsigned number, Dwarf_Frame *frame)
{
    int64_t offset = 0;
    switch (oracle_register(frame, (int)number, &offset)) {
    case 's':
        return row->how[number] == BMM__CFI_UNSAID || row->how[number] == BMM__CFI_SAME;
    case 'u':
        /* libdw calls what the callee may destroy undefined where nothing is said. */
        return row->how[number] == BMM__CFI_UNDEFINED || row->how[number] == BMM__CFI_UNSAID;
    case 'c':
        return row->how[number] == BMM__CFI_OFFSET && row->value[number] == offset;
    case 'v': /* is the CFA: what the stack pointer is where nothing is said */
        return number == BMM__ARCH_SP && row->how[number] == BMM__CFI_UNSAID;
    default:
        return row->how[number] >= BMM__CFI_VALUE_OFFSET;
    }
}

static void compare(const struct bmm__module *module, Dwarf_CFI *cfi, uintptr_t address)
{
    struct bmm__cfi_row row;
    Dwarf_Frame *frame;
    enum bmm__cfi_result result = bmm__cfi_row_at(module, address, &row);
    int status = dw.addrframe(cfi, address - module->bias, &frame);
    compared++;
    if (result != BMM__CFI_FOUND || status != 0) {
        unsupported += result == BMM__CFI_BAD;
        wrong += (result == BMM__CFI_FOUND) != (status == 0);
        return;
    }
    Dwarf_Op *ops;
    size_t count;
    Dwarf_Addr low, high;
    bool is_signal;
    dw.frame_info(frame, &low, &high, &is_signal);
    bool is_equal = dw.frame_cfa(frame, &ops, &count) == 0 && is_signal == row.is_signal_frame;
    if (is_equal && count == 1 && ops[0].atom == 0x92) /* DW_OP_bregx */
        is_equal =
            !row.is_cfa_expression && ops[0].number == row.cfa_register && (int64_t)ops[0].number2 == row.cfa_value;
    else
        is_equal = is_equal && row.is_cfa_expression;
    for (unsigned i = 0; i < BMM__ARCH_REGISTERS; i++)
        is_equal = is_equal && same_register(&row, i, frame);

    /* The rule is the row, or says that it takes the full walk. */
    struct bmm__rule rule = bmm__rule_decode(bmm__rule_find(address));
    unsupported += rule.kind == BMM__RULE_FULL;
    if (rule.kind == BMM__RULE_SP || rule.kind == BMM__RULE_FP) {
        bool is_saved = row.how[BMM__ARCH_FP] == BMM__CFI_OFFSET;
        if (!row.is_cfa_expression)
            is_equal = is_equal && rule.cfa_offset == row.cfa_value && rule.is_fp_saved == is_saved &&
                       row.cfa_register == (rule.kind == BMM__RULE_SP ? BMM__ARCH_SP : BMM__ARCH_FP) &&
                       (!is_saved || rule.fp_offset == row.value[BMM__ARCH_FP]);
    } else if (rule.kind == BMM__RULE_END)
        is_equal = is_equal && row.how[BMM__ARCH_RA] == BMM__CFI_UNDEFINED;
    else
        is_equal = is_equal && (rule.kind == BMM__RULE_FULL || (rule.kind == BMM__RULE_SIGNAL && is_signal));
    if (!is_equal && wrong++ < 5)
        cr_log_error("%lx differs", (unsigned long)(address - module->bias));
    free(frame);
}

/* Each `stride`th address of the executable segments. */
static void compare_library(const char *name, unsigned stride, unsigned unsupported_percent)
{
    void *handle = dlopen(name, RTLD_NOW);
    cr_assert(handle, "%s", name);
    struct link_map *map = handle;
    int file = open(map->l_name, O_RDONLY);
    dw.elf_version(EV_CURRENT);
    Elf *elf = dw.elf_begin(file, ELF_C_READ_MMAP, NULL);
    Dwarf_CFI *cfi = dw.getcfi_elf(elf);
    cr_assert(cfi);
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)map->l_addr;
    const ElfW(Phdr) *segments = (const ElfW(Phdr) *)(map->l_addr + header->e_phoff);
    compared = unsupported = wrong = 0;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type != PT_LOAD || !(segments[i].p_flags & PF_X))
            continue;
        struct bmm__module module;
        bool is_certain;
        uintptr_t start = map->l_addr + segments[i].p_vaddr;
        cr_assert(bmm__module_find(start, &module, &is_certain));
        for (uintptr_t at = start; at < start + segments[i].p_memsz; at += stride)
            compare(&module, cfi, at);
    }
    close(file);
    cr_log_info("%s: %u addresses, %u unsupported, %u wrong", name, compared, unsupported, wrong);
    cr_expect_eq(wrong, 0, "%s: %u of %u addresses", name, wrong, compared);
    cr_expect_gt(compared, 10000);
    cr_expect_leq(unsupported, compared / 100 * unsupported_percent, "%u of %u", unsupported, compared);
}

static void begin(void)
{
    if (!load_libdw())
        cr_skip("no libdw.so.1");
}

TestSuite(rules, .init = begin, .timeout = 100);

Test(rules, libc)
{
    compare_library("libc.so.6", 7, 1);
}

Test(rules, libstdcxx)
{
    compare_library("libstdc++.so.6", 11, 1);
}

Test(rules, loader)
{
    compare_library("ld-linux-x86-64.so.2", 3, 5); /* lazy binding keeps its stack pointer in rbx */
}

/* ---- the cache ---- */

Test(rules, a_rule_is_found_again_and_forgotten)
{
    uintptr_t address = (uintptr_t)&qsort;
    uint64_t word = bmm__rule_find(address);
    cr_expect_eq(bmm__rule_find(address), word);
    cr_expect_eq(bmm__rule_line(address)[bmm__rule_way(address)], word);
    bmm__rules_forget();
    for (unsigned way = 0; way < BMM__RULE_WAYS; way++)
        cr_expect_eq(bmm__rule_line(address)[way], 0);
    cr_expect_eq(bmm__rule_find(address), word);
}

static unsigned count_words(const uint64_t *line, uint64_t word)
{
    unsigned found = 0;
    for (unsigned way = 0; way < BMM__RULE_WAYS; way++)
        found += line[way] == word;
    return found;
}

Test(rules, a_line_holds_as_many_as_fit)
{
    /* All of them should have the same word of the line. */
    uintptr_t first = ((uintptr_t)&qsort + 127) & ~(uintptr_t)127;
    uint64_t words[BMM__RULE_WAYS];
    bmm__rule_find(first); /* its page is there then */
    const uint64_t *line = bmm__rule_line(first);
    cr_assert_neq(line,
                  &bmm__rule_words[0][0] + (line - &bmm__rule_words[0][0]) % (BMM__RULE_PAGE_LINES * BMM__RULE_WAYS));
    bmm__rules_forget();
    cr_assert_eq(bmm__rule_line(first), line);
    for (uintptr_t i = 0; i < BMM__RULE_WAYS; i++) {
        words[i] = bmm__rule_find(first + i);
        cr_expect_eq(words[i] >> BMM__RULE_TAG_SHIFT, bmm__rule_tag(first + i));
    }
    for (uintptr_t i = 0; i < BMM__RULE_WAYS; i++) {
        cr_expect_eq(count_words(line, words[i]), 1);
        cr_expect_eq(bmm__rule_find(first + i), words[i]);
    }
    for (uintptr_t i = 0; i < BMM__RULE_WAYS; i++)
        cr_expect_eq(count_words(line, words[i]), 1, "nothing is learned again");
    /* One more takes the word that it should have, and no other. */
    unsigned way = bmm__rule_way(first);
    uint64_t before = line[way], word = bmm__rule_find(first + BMM__RULE_WAYS);
    cr_expect_eq(line[way], word);
    cr_expect_eq(count_words(line, before), 0);
    for (uintptr_t i = 0; i < BMM__RULE_WAYS; i++)
        cr_expect_eq(count_words(line, words[i]), words[i] != before);
    cr_expect_eq(bmm__rule_find(first), words[0], "what had to go is learned anew, and says the same");
}

/* Line and tag are the address: it can be told from them. */
static uintptr_t address_of(uint32_t number, uint64_t tag)
{
    uint64_t high = (tag - 1) >> BMM__RULE_NEAR_BITS, low7 = (tag - 1) & ((1u << BMM__RULE_NEAR_BITS) - 1);
    uint32_t low = number ^ ((uint32_t)high * 0x9e3779b1u) >> (32 - BMM__RULE_LINE_BITS);
    return high << (BMM__RULE_NEAR_BITS + BMM__RULE_LINE_BITS) | (uintptr_t)low << BMM__RULE_NEAR_BITS | low7;
}

Test(rules, two_addresses_never_share_a_word)
{
    uint64_t random = 88172645463325252u;
    for (unsigned i = 0; i < 2000000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        uintptr_t address = (random >> (64 - BMM__ARCH_CODE_BITS)) >> (i % 3 * 10); /* low ones, too */
        uint64_t tag = bmm__rule_tag(address);
        cr_assert(tag != 0 && tag <= UINT64_C(1) << (64 - BMM__RULE_TAG_SHIFT));
        cr_assert_eq(address_of(bmm__rule_line_number(address), tag), address);
    }
    cr_expect_eq(bmm__rule_tag(((uintptr_t)1 << BMM__ARCH_CODE_BITS) - 1) << BMM__RULE_TAG_SHIFT, 0,
                 "the last has no word");
}

Test(rules, nobody_writes_where_nothing_was_learned)
{
    for (uintptr_t i = 0; i < 4096; i += 8)
        bmm__rule_find((uintptr_t)&qsort + i);
    for (unsigned i = 0; i < BMM__RULE_PAGE_LINES; i++)
        for (unsigned way = 0; way < BMM__RULE_WAYS; way++)
            cr_assert_eq(bmm__rule_words[i][way], 0);
}

Test(rules, wild_addresses_have_none)
{
    static const uintptr_t wild[] = { 0, 1, 4096, 0x7fffffffffff, 0x800000000000, UINTPTR_MAX, UINTPTR_MAX / 2 };
    for (unsigned i = 0; i < sizeof wild / sizeof *wild; i++) {
        struct bmm__rule rule = bmm__rule_decode(bmm__rule_find(wild[i]));
        cr_expect_eq(rule.kind, BMM__RULE_NONE);
        cr_expect_not(rule.is_in_module);
    }
}
