/* Symbol tables by hand: order, names that share an address, and what lies between symbols. */
#include "report/symbol_table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static void add(struct bmm__symbol_table *table, uint64_t start, uint64_t size, unsigned binding, const char *name)
{
    GElf_Sym symbol = { .st_info = GELF_ST_INFO(binding, STT_FUNC), .st_size = size };
    bmm__symbol_table_add(table, start, &symbol, name, false);
}

static const char *of(const struct bmm__symbol_table *table, uint64_t address)
{
    const char *name = bmm__symbol_table_find(table, address);
    return name != NULL ? name : "none";
}

Test(symbol_table, an_empty_one_has_nothing)
{
    struct bmm__symbol_table table = { 0 };
    bmm__symbol_table_sort(&table);
    cr_expect_str_eq(of(&table, 0), "none");
    bmm__symbol_table_free(&table);
}

Test(symbol_table, only_functions_with_names_are_in)
{
    struct bmm__symbol_table table = { 0 };
    GElf_Sym object = { .st_info = GELF_ST_INFO(STB_GLOBAL, STT_OBJECT), .st_size = 8 };
    bmm__symbol_table_add(&table, 0x100, &object, "object", false);
    add(&table, 0x100, 8, STB_GLOBAL, "");
    add(&table, 0x200, 8, STB_GLOBAL, "one");
    bmm__symbol_table_sort(&table);
    cr_expect_str_eq(of(&table, 0x100), "none");
    cr_expect_str_eq(of(&table, 0x1ff), "none");
    cr_expect_str_eq(of(&table, 0x200), "one");
    cr_expect_str_eq(of(&table, 0x207), "one");
    cr_expect_str_eq(of(&table, 0x208), "none");
    bmm__symbol_table_free(&table);
}

/* Local last, then the fewest underscores, global before weak, the alphabet. */
Test(symbol_table, of_names_that_share_an_address_the_public_one_is_kept)
{
    static const struct {
        unsigned binding;
        const char *name;
    } names[] = { { STB_WEAK, "strdup" },    { STB_GLOBAL, "__strdup" }, { STB_LOCAL, "a" },
                  { STB_GLOBAL, "_strdup" }, { STB_WEAK, "strdup2" },    { STB_LOCAL, "__GI___strdup" } };
    enum { COUNT = sizeof names / sizeof *names };
    for (size_t first = 0; first < COUNT; first++) {
        struct bmm__symbol_table table = { 0 };
        for (size_t i = 0; i < COUNT; i++)
            add(&table, 0x1000, 16 + i, names[(first + i) % COUNT].binding, names[(first + i) % COUNT].name);
        add(&table, 0x5000, 16, STB_WEAK, "b");
        add(&table, 0x5000, 16, STB_GLOBAL, "b");
        bmm__symbol_table_sort(&table);
        cr_expect_eq(table.count, 2);
        cr_expect_str_eq(of(&table, 0x1000), "strdup");
        cr_expect_str_eq(of(&table, 0x1000 + 16 + COUNT - 2), "strdup", "it ends where the longest of them does");
        bmm__symbol_table_free(&table);
    }
}

Test(symbol_table, one_without_a_size_lasts_until_the_next)
{
    struct bmm__symbol_table table = { 0 };
    add(&table, 0x300, 4, STB_GLOBAL, "next");
    add(&table, 0x100, 0, STB_GLOBAL, "assembly");
    bmm__symbol_table_sort(&table);
    cr_expect_str_eq(of(&table, 0x2ff), "assembly");
    cr_expect_str_eq(of(&table, 0x303), "next");
    cr_expect_str_eq(of(&table, 0x304), "none");
    bmm__symbol_table_free(&table);
}

static int by_start(const void *a, const void *b)
{
    const struct bmm__symbol *left = a, *right = b;
    return (left->start > right->start) - (left->start < right->start);
}

/* However addresses are spread, those found are those of a plain sort. */
static void check_spread(uint64_t least, uint64_t mask, bool has_outliers)
{
    enum { COUNT = 5000 };
    static char names[COUNT][16];
    static struct bmm__symbol all[COUNT];
    struct bmm__symbol_table table = { 0 };
    uint64_t random = 88172645463325252u;
    for (uint32_t i = 0; i < COUNT; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        uint64_t start = least + (random & mask);
        start = has_outliers && i == 17 ? 0 : has_outliers && i == 4711 ? UINT64_MAX : start;
        snprintf(names[i], sizeof names[i], "f%llx", (unsigned long long)start);
        all[i] = (struct bmm__symbol){ .start = start, .name = names[i] };
        add(&table, start, 1, STB_GLOBAL, names[i]);
    }
    qsort(all, COUNT, sizeof *all, by_start);
    bmm__symbol_table_sort(&table);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        if (i > 0 && all[i].start == all[i - 1].start)
            continue;
        cr_assert_eq(table.symbols[kept].start, all[i].start);
        cr_assert_str_eq(table.symbols[kept++].name, all[i].name);
    }
    cr_assert_eq(table.count, kept);
    bmm__symbol_table_free(&table);
}

Test(symbol_table, order_does_not_hang_on_how_they_lie)
{
    check_spread(0x400000, 0xffffff, false);
    check_spread(0x7f0000000000, 0xfff, false); /* several at most addresses */
    check_spread(0, 0, false);                  /* all at one */
    check_spread(0x1000, 0xffffff, true);       /* nearly all in one part */
    check_spread(0, UINT64_MAX, true);
}
