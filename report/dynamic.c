#include "report/dynamic.h"

#include "report/arena.h"
#include "report/tail_call.h"

#include <gelf.h>
#include <stdlib.h>
#include <string.h>

static void add_exports(struct bmm__dynamic *dynamic, Elf_Scn *section, const GElf_Shdr *header)
{
    Elf_Data *data = elf_getdata(section, NULL);
    GElf_Sym symbol;
    for (int i = 1; data != NULL && gelf_getsym(data, i, &symbol) != NULL; i++) {
        const char *name = elf_strptr(dynamic->elf, header->sh_link, symbol.st_name);
        if (name != NULL && symbol.st_shndx != SHN_UNDEF)
            bmm__symbol_table_add(&dynamic->exports, symbol.st_value, &symbol, name, false);
    }
}

static void add_slots(struct bmm__dynamic *dynamic, Elf_Scn *section, const GElf_Shdr *header)
{
    Elf_Scn *symbols = elf_getscn(dynamic->elf, header->sh_link);
    GElf_Shdr symbols_header;
    Elf_Data *data = elf_getdata(section, NULL), *symbols_data = symbols != NULL ? elf_getdata(symbols, NULL) : NULL;
    if (data == NULL || symbols_data == NULL || gelf_getshdr(symbols, &symbols_header) == NULL ||
        symbols_header.sh_type != SHT_DYNSYM)
        return;
    GElf_Rela relocation;
    for (int i = 0; gelf_getrela(data, i, &relocation) != NULL; i++) {
        uint64_t type = GELF_R_TYPE(relocation.r_info);
        GElf_Sym symbol;
        if ((type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) ||
            gelf_getsym(symbols_data, (int)GELF_R_SYM(relocation.r_info), &symbol) == NULL)
            continue;
        const char *name = elf_strptr(dynamic->elf, symbols_header.sh_link, symbol.st_name);
        bool is_new;
        if (name == NULL || name[0] == 0)
            continue;
        bmm__map_put(&dynamic->slots, relocation.r_offset, 0, dynamic->name_count, &is_new);
        if (!is_new)
            continue;
        dynamic->names =
            bmm__grow(dynamic->names, &dynamic->name_capacity, (size_t)dynamic->name_count + 1, sizeof *dynamic->names);
        dynamic->names[dynamic->name_count++] = name;
    }
}

void bmm__dynamic_open(struct bmm__dynamic *dynamic, Elf *elf, bool has_exports)
{
    *dynamic = (struct bmm__dynamic){ .elf = elf };
    GElf_Ehdr file;
    bool is_x86_64 = elf != NULL && gelf_getehdr(elf, &file) != NULL && file.e_machine == EM_X86_64;
    Elf_Scn *section = NULL;
    GElf_Shdr header;
    while (elf != NULL && (section = elf_nextscn(elf, section)) != NULL) {
        if (gelf_getshdr(section, &header) == NULL)
            continue;
        if (header.sh_type == SHT_DYNSYM && has_exports)
            add_exports(dynamic, section, &header);
        else if (header.sh_type == SHT_RELA && is_x86_64)
            add_slots(dynamic, section, &header);
        else if (is_x86_64)
            bmm__tail_starts(dynamic, section, &header);
    }
    bmm__symbol_table_sort(&dynamic->exports);
}

void bmm__dynamic_close(struct bmm__dynamic *dynamic)
{
    bmm__symbol_table_free(&dynamic->exports);
    bmm__map_free(&dynamic->slots);
    free(dynamic->names);
    free(dynamic->starts);
    bmm__map_free(&dynamic->tails);
    free(dynamic->tail_list);
    *dynamic = (struct bmm__dynamic){ 0 };
}

const char *bmm__dynamic_export(const struct bmm__dynamic *dynamic, uint64_t address)
{
    return bmm__symbol_table_find(&dynamic->exports, address);
}

/* A file of debug information alone has sections of code, but nothing in them. */
const unsigned char *bmm__dynamic_code(const struct bmm__dynamic *dynamic, uint64_t address, uint64_t *left)
{
    size_t file_bytes;
    const char *file = elf_rawfile(dynamic->elf, &file_bytes);
    Elf_Scn *section = NULL;
    GElf_Shdr header;
    while (file != NULL && (section = elf_nextscn(dynamic->elf, section)) != NULL) {
        if (gelf_getshdr(section, &header) == NULL || header.sh_type != SHT_PROGBITS ||
            !(header.sh_flags & SHF_EXECINSTR) || address < header.sh_addr ||
            address - header.sh_addr >= header.sh_size)
            continue;
        uint64_t inside = address - header.sh_addr, offset = header.sh_offset + inside;
        *left = header.sh_size - inside;
        if (offset < header.sh_offset || offset >= file_bytes || *left > file_bytes - offset)
            return NULL;
        return (const unsigned char *)file + offset;
    }
    return NULL;
}

uint64_t bmm__displaced(uint64_t from, const unsigned char *field)
{
    int32_t distance;
    memcpy(&distance, field, sizeof distance);
    return from + (uint64_t)(int64_t)distance;
}

const char *bmm__dynamic_slot(struct bmm__dynamic *dynamic, uint64_t slot)
{
    bool is_new;
    uint32_t index = bmm__map_put(&dynamic->slots, slot, 0, UINT32_MAX, &is_new);
    return index < dynamic->name_count ? dynamic->names[index] : NULL;
}

const char *bmm__dynamic_stub(struct bmm__dynamic *dynamic, uint64_t address)
{
    uint64_t left;
    const unsigned char *stub = bmm__dynamic_code(dynamic, address, &left);
    if (stub == NULL || left < 12)
        return NULL;
    size_t skipped = memcmp(stub, "\xf3\x0f\x1e\xfa", 4) == 0 ? 4 : 0; /* endbr64 */
    skipped += stub[skipped] == 0xf2;                                  /* bnd */
    if (stub[skipped] != 0xff || stub[skipped + 1] != 0x25)            /* jmp *slot(%rip) */
        return NULL;
    return bmm__dynamic_slot(dynamic, bmm__displaced(address + skipped + 6, stub + skipped + 2));
}

const char *bmm__dynamic_callee(struct bmm__dynamic *dynamic, uint64_t return_address)
{
    uint64_t left;
    const unsigned char *call = NULL;
    if (dynamic->name_count > 0 && return_address >= 6)
        call = bmm__dynamic_code(dynamic, return_address - 6, &left);
    if (call == NULL || left < 6)
        return NULL;
    if (call[0] == 0xff && call[1] == 0x15) /* call *slot(%rip) */
        return bmm__dynamic_slot(dynamic, bmm__displaced(return_address, call + 2));
    if (call[1] != 0xe8) /* call */
        return NULL;
    uint64_t target = bmm__displaced(return_address, call + 2);
    const char *name = bmm__dynamic_stub(dynamic, target);
    return name != NULL ? name : bmm__tail_callee(dynamic, target);
}
