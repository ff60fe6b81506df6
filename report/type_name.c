#include "report/type_name.h"

#include "report/arena.h"
#include "report/demangle.h"

#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#define PASCAL "VMT_$"
#define PASCAL_OTHER "$indirect" /* a word that points at the table */
#define PASCAL_NAME 24
#define CXX "_ZTV"
#define CXX_PLAIN "vtable for "

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool is_table(const char *name)
{
    size_t length = strlen(name), other = strlen(PASCAL_OTHER);
    return begins(name, CXX) ||
           (begins(name, PASCAL) && (length < other || strcmp(name + length - other, PASCAL_OTHER) != 0));
}

static void add_table(struct bmm__symbol_table *table, uint64_t start, const GElf_Sym *symbol, const char *name,
                      bool is_label)
{
    (void)is_label;
    if (GELF_ST_TYPE(symbol->st_info) == STT_FUNC || !is_table(name)) /* most are, and need not be looked at */
        return;
    table->symbols = bmm__grow(table->symbols, &table->capacity, (size_t)table->count + 1, sizeof *table->symbols);
    table->symbols[table->count++] = (struct bmm__symbol){ start, start + symbol->st_size, name, STB_GLOBAL, false };
}

void bmm__type_table_fill(struct bmm__symbol_table *table, const struct bmm__module_file *file)
{
    bmm__symbol_table_fill_by(table, file, add_table);
    bmm__symbol_table_sort(table);
}

/* ---- what the file has in memory at an address ---- */

static bool read_file(const struct bmm__module_file *file, uint64_t address, void *bytes, size_t count)
{
    Elf_Scn *section = NULL;
    GElf_Shdr header;
    while ((section = elf_nextscn(file->elf, section)) != NULL) {
        if (gelf_getshdr(section, &header) == NULL || (header.sh_flags & SHF_ALLOC) == 0 ||
            header.sh_type == SHT_NOBITS || address < header.sh_addr || address - header.sh_addr >= header.sh_size)
            continue;
        Elf_Data *data = elf_rawdata(section, NULL);
        uint64_t at = address - header.sh_addr;
        if (data == NULL || data->d_buf == NULL || at > data->d_size || count > data->d_size - at)
            return false;
        memcpy(bytes, (const char *)data->d_buf + at, count);
        return true;
    }
    return false;
}

/* In files that may be loaded anywhere a pointer stands in the relocations. 0: there is none for the address. */
static uint64_t relocated(const struct bmm__module_file *file, uint64_t address)
{
    Elf_Scn *section = NULL;
    GElf_Shdr header;
    while ((section = elf_nextscn(file->elf, section)) != NULL) {
        if (gelf_getshdr(section, &header) == NULL || header.sh_type != SHT_RELA || (header.sh_flags & SHF_ALLOC) == 0)
            continue;
        Elf_Data *data = elf_getdata(section, NULL);
        GElf_Rela relocation;
        for (int i = 0; data != NULL && gelf_getrela(data, i, &relocation) != NULL; i++)
            if (relocation.r_offset == address)
                return (uint64_t)relocation.r_addend;
    }
    return 0;
}

static const char *pascal_name(struct bmm__strings *strings, const struct bmm__module_file *file, const char *symbol,
                               uint64_t table)
{
    uint64_t at = 0;
    uint8_t text[256];
    if (read_file(file, table + PASCAL_NAME, &at, sizeof at) && at == 0)
        at = relocated(file, table + PASCAL_NAME);
    if (at != 0 && read_file(file, at, text, 1) && text[0] > 0 && read_file(file, at + 1, text + 1, text[0]) &&
        memchr(text + 1, 0, text[0]) == NULL)
        return bmm__intern_bytes(strings, (const char *)text + 1, text[0]);
    return bmm__demangle(strings, symbol + strlen(PASCAL));
}

const char *bmm__type_name(struct bmm__strings *strings, const struct bmm__module_file *file, const char *symbol,
                           uint64_t address)
{
    if (begins(symbol, PASCAL))
        return pascal_name(strings, file, symbol, address);
    const char *plain = bmm__demangle(strings, symbol);
    return begins(plain, CXX_PLAIN) ? bmm__intern(strings, plain + strlen(CXX_PLAIN)) : NULL;
}
