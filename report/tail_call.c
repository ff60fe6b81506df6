#include "report/tail_call.h"

#include "report/arena.h"

#include <stdlib.h>
#include <string.h>

#define FUNCTION_BYTES_MAX 65536
#define DEPTH_MAX 256 /* of functions that jump to functions that jump: only made-up files have more */

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

static const struct bmm__tail *tail_of(struct bmm__dynamic *dynamic, uint64_t start, unsigned depth);

static void jump(struct bmm__dynamic *dynamic, struct search *search, uint64_t from, uint64_t target, unsigned depth)
{
    const char *name = bmm__dynamic_stub(dynamic, target);
    found(search, name);
    if (name != NULL || target == from || find_start(dynamic, target) == NULL)
        return;
    const struct bmm__tail *tail = tail_of(dynamic, target, depth + 1);
    found(search, tail->name);
    search->is_doubtful = search->is_doubtful || tail->is_doubtful;
}

/* Looks at every byte, for where instructions begin is not known: a displacement in the middle of another instruction
 * hardly ever names a slot, a stub or the start of a function, and if it does, there is only more doubt. */
static struct search look_through(struct bmm__dynamic *dynamic, uint64_t start, unsigned depth)
{
    struct search search = { 0 };
    const uint64_t *entry = find_start(dynamic, start);
    uint64_t left = 0;
    const unsigned char *code = entry != NULL ? bmm__dynamic_code(dynamic, start, &left) : NULL;
    if (code != NULL && entry + 1 < dynamic->starts + dynamic->start_count && entry[1] - start < left)
        left = entry[1] - start;
    if (code == NULL || left > FUNCTION_BYTES_MAX || depth > DEPTH_MAX) {
        search.is_doubtful = true;
        return search;
    }
    for (uint64_t i = 0; i + 2 <= left && !search.is_doubtful; i++) {
        bool is_jump = code[i] == 0xe9, is_branch = code[i] == 0x0f && (code[i + 1] & 0xf0) == 0x80;
        if (code[i] == 0xff && (code[i + 1] & 0x38) == 0x20 && code[i + 1] != 0x25)
            search.is_doubtful = true; /* jmp to what a register says */
        if (code[i] == 0xff && code[i + 1] == 0x25 && i + 6 <= left)
            found(&search, bmm__dynamic_slot(dynamic, bmm__displaced(start + i + 6, code + i + 2)));
        uint64_t field = i + 1 + is_branch;
        if ((is_jump || is_branch) && field + 4 <= left)
            jump(dynamic, &search, start, bmm__displaced(start + field + 4, code + field), depth);
    }
    return search;
}

/* Each function is looked through once: many jumps to one another would take for ever. Those that jump in a circle are in doubt,
 * whichever of them is asked for first. */
static const struct bmm__tail *tail_of(struct bmm__dynamic *dynamic, uint64_t start, unsigned depth)
{
    bool is_new;
    uint32_t index = bmm__map_put(&dynamic->tails, start, 0, dynamic->tail_count, &is_new);
    if (is_new) {
        dynamic->tail_list = bmm__grow(dynamic->tail_list, &dynamic->tail_capacity, (size_t)dynamic->tail_count + 1,
                                       sizeof *dynamic->tail_list);
        dynamic->tail_list[dynamic->tail_count++] = (struct bmm__tail){ NULL, true };
        struct search search = look_through(dynamic, start, depth);
        dynamic->tail_list[index] = (struct bmm__tail){ search.name, search.is_doubtful };
    }
    return &dynamic->tail_list[index];
}

const char *bmm__tail_callee(struct bmm__dynamic *dynamic, uint64_t start)
{
    const struct bmm__tail *tail = tail_of(dynamic, start, 1);
    return tail->is_doubtful ? NULL : tail->name;
}
