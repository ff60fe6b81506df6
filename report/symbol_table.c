#include "report/symbol_table.h"

#include "report/arena.h"

#include <stdlib.h>
#include <string.h>

static uint32_t rank_of(const char *name, const GElf_Sym *symbol)
{
    uint32_t underscores = (uint32_t)strspn(name, "_");
    uint32_t binding = GELF_ST_BIND(symbol->st_info) == STB_GLOBAL ? 0 : GELF_ST_BIND(symbol->st_info) == STB_WEAK;
    if (GELF_ST_BIND(symbol->st_info) == STB_LOCAL)
        binding = 2;
    /* strdup is weak and __strdup is global in glibc: a public name without underscores beats both. */
    return (binding == 2 ? 1000u : 0u) + underscores * 10 + binding;
}

static int by_start(const void *left, const void *right)
{
    const struct bmm__symbol *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return strcmp(a->name, b->name);
}

void bmm__symbol_table_add(struct bmm__symbol_table *table, uint64_t start, const GElf_Sym *symbol, const char *name)
{
    int type = GELF_ST_TYPE(symbol->st_info);
    if (name[0] == 0 || (type != STT_FUNC && type != STT_GNU_IFUNC))
        return;
    table->symbols = bmm__grow(table->symbols, &table->capacity, (size_t)table->count + 1, sizeof *table->symbols);
    table->symbols[table->count++] =
        (struct bmm__symbol){ start, start + symbol->st_size, name, rank_of(name, symbol) };
}

void bmm__symbol_table_sort(struct bmm__symbol_table *table)
{
    if (table->count == 0)
        return;
    qsort(table->symbols, table->count, sizeof *table->symbols, by_start);
    uint32_t kept = 0;
    for (uint32_t i = 1; i < table->count; i++) {
        if (table->symbols[i].start != table->symbols[kept].start)
            table->symbols[++kept] = table->symbols[i];
        else if (table->symbols[i].end > table->symbols[kept].end)
            table->symbols[kept].end = table->symbols[i].end;
    }
    table->count = kept + 1;
    /* Hand-written assembly often has no size: it lasts until the next symbol. */
    for (uint32_t i = 0; i + 1 < table->count; i++)
        if (table->symbols[i].end == table->symbols[i].start)
            table->symbols[i].end = table->symbols[i + 1].start;
}

void bmm__symbol_table_fill_by(struct bmm__symbol_table *table, const struct bmm__module_file *file,
                               bmm__symbol_adder *add)
{
    int count = dwfl_module_getsymtab(file->module);
    for (int i = 1; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr address;
        GElf_Word section;
        const char *name = dwfl_module_getsym_info(file->module, i, &symbol, &address, &section, NULL, NULL);
        if (name != NULL && section != SHN_UNDEF)
            add(table, address - file->elf_bias, &symbol, name);
    }
    bmm__symbol_table_sort(table);
}

void bmm__symbol_table_fill(struct bmm__symbol_table *table, const struct bmm__module_file *file)
{
    bmm__symbol_table_fill_by(table, file, bmm__symbol_table_add);
}

const char *bmm__symbol_table_find(const struct bmm__symbol_table *table, uint64_t address)
{
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (table->symbols[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    /* A small symbol may lie inside a large one; a few steps back are enough for what occurs. */
    for (uint32_t i = low; i > 0 && low - i < 8; i--)
        if (address < table->symbols[i - 1].end)
            return table->symbols[i - 1].name;
    return NULL;
}

void bmm__symbol_table_free(struct bmm__symbol_table *table)
{
    free(table->symbols);
    *table = (struct bmm__symbol_table){ 0 };
}
