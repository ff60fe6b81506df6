#include "report/tail_call.h"

#include "report/arena.h"

#include <stdlib.h>
#include <string.h>

#define FUNCTION_BYTES_MAX 65536
#define DEPTH_MAX 4 /* of functions that jump to functions that jump */

static int by_address(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

void bmm__tail_starts(struct bmm__dynamic *dynamic, Elf_Scn *section, const GElf_Shdr *header)
{
    /* Version 1; the pointer, the count and the table as every linker encodes them. */
    static const unsigned char expected[4] = { 1, 0x1b, 0x03, 0x3b };
    const Elf_Data *data;
    if (header->sh_type != SHT_PROGBITS || (header->sh_flags & SHF_EXECINSTR) || dynamic->starts != NULL ||
        header->sh_size < 12 || (data = elf_rawdata(section, NULL)) == NULL || data->d_size < 12 ||
        data->d_buf == NULL || memcmp(data->d_buf, expected, sizeof expected) != 0)
        return;
    const unsigned char *bytes = data->d_buf;
    uint32_t count;
    memcpy(&count, bytes + 8, sizeof count);
    if (count == 0 || count > (data->d_size - 12) / 8)
        return;
    dynamic->starts = bmm__must_zero(count, sizeof *dynamic->starts);
    dynamic->start_count = count;
    bool is_sorted = true; /* linkers sort it */
    for (uint32_t i = 0; i < count; i++) {
        dynamic->starts[i] = bmm__displaced(header->sh_addr, bytes + 12 + (size_t)8 * i);
        is_sorted = is_sorted && (i == 0 || dynamic->starts[i - 1] <= dynamic->starts[i]);
    }
    if (!is_sorted)
        qsort(dynamic->starts, count, sizeof *dynamic->starts, by_address);
}

/* NULL: no function begins there. */
static const uint64_t *find_start(const struct bmm__dynamic *dynamic, uint64_t address)
{
    return dynamic->start_count == 0
               ? NULL
               : bsearch(&address, dynamic->starts, dynamic->start_count, sizeof *dynamic->starts, by_address);
}

struct search {
    struct bmm__dynamic *dynamic;
    const char *name; /* found so far */
    bool is_doubtful;
};

static void found(struct search *search, const char *name)
{
    if (name != NULL && search->name != NULL && strcmp(name, search->name) != 0)
        search->is_doubtful = true;
    if (name != NULL)
        search->name = name;
}

/* Looks at every byte, for where instructions begin is not known: a displacement in the middle of another instruction
 * hardly ever names a slot, a stub or the start of a function, and if it does, there is only more doubt. */
static void look_through(struct search *search, uint64_t start, unsigned depth)
{
    struct bmm__dynamic *dynamic = search->dynamic;
    const uint64_t *entry = find_start(dynamic, start);
    uint64_t left;
    const unsigned char *code = entry != NULL ? bmm__dynamic_code(dynamic, start, &left) : NULL;
    if (entry + 1 < dynamic->starts + dynamic->start_count && code != NULL && entry[1] - start < left)
        left = entry[1] - start;
    if (code == NULL || left > FUNCTION_BYTES_MAX || depth > DEPTH_MAX) {
        search->is_doubtful = true;
        return;
    }
    for (uint64_t i = 0; i + 2 <= left && !search->is_doubtful; i++) {
        bool is_jump = code[i] == 0xe9, is_branch = code[i] == 0x0f && (code[i + 1] & 0xf0) == 0x80;
        if (code[i] == 0xff && (code[i + 1] & 0x38) == 0x20 && code[i + 1] != 0x25)
            search->is_doubtful = true; /* jmp to what a register says */
        if (code[i] == 0xff && code[i + 1] == 0x25 && i + 6 <= left)
            found(search, bmm__dynamic_slot(dynamic, bmm__displaced(start + i + 6, code + i + 2)));
        uint64_t field = i + 1 + is_branch;
        if ((!is_jump && !is_branch) || field + 4 > left)
            continue;
        uint64_t target = bmm__displaced(start + field + 4, code + field);
        const char *name = bmm__dynamic_stub(dynamic, target);
        found(search, name);
        if (name == NULL && target != start && find_start(dynamic, target) != NULL)
            look_through(search, target, depth + 1);
    }
}

const char *bmm__tail_callee(struct bmm__dynamic *dynamic, uint64_t start)
{
    bool is_new;
    uint32_t index = bmm__map_put(&dynamic->tails, start, 0, dynamic->tail_count, &is_new);
    if (is_new) {
        struct search search = { .dynamic = dynamic };
        look_through(&search, start, 1);
        dynamic->tail_names = bmm__grow(dynamic->tail_names, &dynamic->tail_capacity, (size_t)dynamic->tail_count + 1,
                                        sizeof *dynamic->tail_names);
        dynamic->tail_names[dynamic->tail_count++] = search.is_doubtful ? NULL : search.name;
    }
    return dynamic->tail_names[index];
}
