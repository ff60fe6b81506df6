#include "report/symbol_table.h"

#include "report/arena.h"

#include <stdlib.h>
#include <string.h>

/* Smaller is better. Asked for only where symbols begin together: a program's names are a megabyte that nobody else looks at. */
static uint32_t rank_of(const struct bmm__symbol *symbol)
{
    uint32_t underscores = (uint32_t)strspn(symbol->name, "_");
    uint32_t binding = symbol->binding == STB_LOCAL ? 2 : symbol->binding == STB_WEAK ? 1 : 0;
    /* strdup is weak and __strdup is global in glibc: a public name without underscores beats both. */
    return (symbol->name[0] == 0 ? 200000u
            : symbol->is_label   ? 100000u
                                 : 0u) +
           (binding == 2 ? 1000u : 0u) + underscores * 10 + binding;
}

static int by_start(const void *left, const void *right)
{
    const struct bmm__symbol *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    uint32_t rank = rank_of(a), other = rank_of(b);
    if (rank != other)
        return rank < other ? -1 : 1;
    return strcmp(a->name, b->name);
}

static void add(struct bmm__symbol_table *table, struct bmm__symbol symbol)
{
    table->symbols = bmm__grow(table->symbols, &table->capacity, (size_t)table->count + 1, sizeof *table->symbols);
    table->symbols[table->count++] = symbol;
}

void bmm__symbol_table_add(struct bmm__symbol_table *table, uint64_t start, const GElf_Sym *symbol, const char *name,
                           bool is_label)
{
    int type = GELF_ST_TYPE(symbol->st_info);
    if (name[0] != 0 && (type == STT_FUNC || type == STT_GNU_IFUNC || is_label))
        add(table,
            (struct bmm__symbol){ start, start + symbol->st_size, name, GELF_ST_BIND(symbol->st_info), is_label });
}

/* First into as many parts of the addresses as there are symbols, then each part, of which few have more than some: to sort the
 * symbols of a large program all at once was a tenth of its report's time. */
static void sort_by_start(struct bmm__symbol_table *table)
{
    const struct bmm__symbol *symbols = table->symbols;
    uint32_t count = table->count;
    uint64_t least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < count; i++) {
        least = symbols[i].start < least ? symbols[i].start : least;
        most = symbols[i].start > most ? symbols[i].start : most;
    }
    unsigned shift = 0;
    while ((most - least) >> shift >= count)
        shift++;
    uint32_t parts = (uint32_t)((most - least) >> shift) + 1;
    uint32_t *ends = bmm__must_zero((size_t)parts + 1, sizeof *ends); /* ends[i + 1]: of part i, when all are in */
    for (uint32_t i = 0; i < count; i++)
        ends[((symbols[i].start - least) >> shift) + 1]++;
    for (uint32_t part = 1; part < parts; part++)
        ends[part] += ends[part - 1];
    struct bmm__symbol *parted = bmm__must_alloc(count * sizeof *parted);
    for (uint32_t i = 0; i < count; i++)
        parted[ends[(symbols[i].start - least) >> shift]++] = symbols[i];
    for (uint32_t part = 0, first = 0; part < parts; first = ends[part++])
        if (ends[part] - first > 1)
            qsort(&parted[first], ends[part] - first, sizeof *parted, by_start);
    free(ends);
    free(table->symbols);
    table->symbols = parted;
    table->capacity = count;
}

/* A local label behind a global function that has no size: where in it one jumps to. (Local functions without size are the compiler's
 * frame_dummy and the like, and stand before whatever comes first.) */
static bool is_within(const struct bmm__symbol *label, const struct bmm__symbol *before)
{
    return label->name[0] != 0 && label->binding == STB_LOCAL && !before->is_label && before->binding != STB_LOCAL &&
           before->end == before->start;
}

void bmm__symbol_table_sort(struct bmm__symbol_table *table)
{
    if (table->count == 0)
        return;
    sort_by_start(table);
    uint32_t kept = 0;
    uint64_t reach = table->symbols[0].end; /* of all functions up to here */
    for (uint32_t i = 1; i < table->count; i++) {
        if (table->symbols[i].start == table->symbols[kept].start) {
            if (table->symbols[i].end > table->symbols[kept].end)
                table->symbols[kept].end = table->symbols[i].end;
        } else if (!table->symbols[i].is_label ||
                   (table->symbols[i].start >= reach && !is_within(&table->symbols[i], &table->symbols[kept]))) {
            table->symbols[++kept] = table->symbols[i];
        }
        reach = table->symbols[kept].end > reach ? table->symbols[kept].end : reach;
    }
    table->count = kept + 1;
    for (uint32_t i = 0; i + 1 < table->count; i++)
        if (table->symbols[i].end == table->symbols[i].start)
            table->symbols[i].end = table->symbols[i + 1].start;
}

/* Not what assemblers and linkers make for themselves ($x, .L1), nor the end of a section. */
static bool is_label(Elf *elf, GElf_Word section, const GElf_Sym *symbol, const char *name)
{
    GElf_Shdr head;
    return GELF_ST_TYPE(symbol->st_info) == STT_NOTYPE && name[0] != '$' && name[0] != '.' && elf != NULL &&
           gelf_getshdr(elf_getscn(elf, section), &head) != NULL && (head.sh_flags & SHF_EXECINSTR) != 0 &&
           symbol->st_value - head.sh_addr < head.sh_size;
}

void bmm__symbol_table_fill_by(struct bmm__symbol_table *table, const struct bmm__module_file *file,
                               bmm__symbol_adder *add_symbol)
{
    int count = dwfl_module_getsymtab(file->module);
    for (int i = 1; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr address;
        GElf_Word section;
        Elf *elf;
        const char *name = dwfl_module_getsym_info(file->module, i, &symbol, &address, &section, &elf, NULL);
        if (name != NULL && section != SHN_UNDEF)
            add_symbol(table, address - file->elf_bias, &symbol, name, is_label(elf, section, &symbol, name));
    }
}

/* There what has no size ends at the latest. */
static void add_section_ends(struct bmm__symbol_table *table, Elf *elf)
{
    Elf_Scn *section = NULL;
    GElf_Shdr head;
    while ((section = elf_nextscn(elf, section)) != NULL)
        if (gelf_getshdr(section, &head) != NULL && (head.sh_flags & SHF_EXECINSTR) != 0)
            add(table,
                (struct bmm__symbol){ head.sh_addr + head.sh_size, head.sh_addr + head.sh_size, "", STB_LOCAL, true });
}

void bmm__symbol_table_fill(struct bmm__symbol_table *table, const struct bmm__module_file *file)
{
    bmm__symbol_table_fill_by(table, file, bmm__symbol_table_add);
    if (file->elf != NULL)
        add_section_ends(table, file->elf);
    bmm__symbol_table_sort(table);
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
            return table->symbols[i - 1].name[0] != 0 ? table->symbols[i - 1].name : NULL;
    return NULL;
}

void bmm__symbol_table_free(struct bmm__symbol_table *table)
{
    free(table->symbols);
    *table = (struct bmm__symbol_table){ 0 };
}
