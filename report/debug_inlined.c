#include "report/debug_inlined.h"

#include "report/arena.h"

#include <dwarf.h>
#include <stdlib.h>

#define DEPTH_MAX 256 /* deeper trees come from damaged files only */

/* One range of an inlined function or a block. */
struct part {
    uint64_t start, end;
    uint64_t reach; /* the largest end of those up to this one: behind it none of them can be */
    Dwarf_Die die;
    bool is_inlined;
};

struct bmm__debug_parts {
    struct part *parts; /* by start */
    uint32_t count, capacity;
};

static bool is_block(int tag)
{
    return tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block ||
           tag == DW_TAG_with_stmt;
}

static void add_part(struct bmm__debug_parts *level, struct part part)
{
    level->parts = bmm__grow(level->parts, &level->capacity, (size_t)level->count + 1, sizeof *level->parts);
    level->parts[level->count++] = part;
}

/* A block without ranges is all of what is around it. */
static void add_ranges(struct bmm__debug_parts *level, Dwarf_Die *die, bool is_inlined)
{
    Dwarf_Addr base, start, end;
    ptrdiff_t at = 0;
    bool has_ranges = false;
    while ((at = dwarf_ranges(die, at, &base, &start, &end)) > 0) {
        has_ranges = true;
        add_part(level, (struct part){ .start = start, .end = end, .die = *die, .is_inlined = is_inlined });
    }
    if (!has_ranges && !is_inlined)
        add_part(level, (struct part){ .start = 0, .end = UINT64_MAX, .die = *die });
}

static int by_start(const void *left, const void *right)
{
    const struct part *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

static struct bmm__debug_parts make_level(Dwarf_Die *parent)
{
    struct bmm__debug_parts level = { 0 };
    Dwarf_Die die;
    if (dwarf_child(parent, &die) != 0)
        return level;
    do {
        int tag = dwarf_tag(&die);
        bool is_inlined = tag == DW_TAG_inlined_subroutine;
        if (is_inlined || is_block(tag))
            add_ranges(&level, &die, is_inlined);
    } while (dwarf_siblingof(&die, &die) == 0);
    if (level.count > 0)
        qsort(level.parts, level.count, sizeof *level.parts, by_start);
    uint64_t reach = 0;
    for (uint32_t i = 0; i < level.count; i++)
        level.parts[i].reach = reach = level.parts[i].end > reach ? level.parts[i].end : reach;
    return level;
}

/* A copy: the list moves as it grows. */
static struct bmm__debug_parts level_of(struct bmm__debug_inlined *inlined, Dwarf_Die *parent)
{
    bool is_new;
    uint32_t index = bmm__map_put(&inlined->levels, (uintptr_t)parent->addr, 0, inlined->count, &is_new);
    if (is_new) {
        inlined->list = bmm__grow(inlined->list, &inlined->capacity, (size_t)inlined->count + 1, sizeof *inlined->list);
        inlined->list[inlined->count++] = make_level(parent);
    }
    return inlined->list[index];
}

/* Number of parts that start at or before the address. */
static uint32_t count_up_to(const struct bmm__debug_parts *level, uint64_t address)
{
    uint32_t low = 0, high = level->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (level->parts[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t find(struct bmm__debug_inlined *inlined, Dwarf_Die *parent, uint64_t address, Dwarf_Die *found,
                     uint32_t capacity, unsigned depth)
{
    if (capacity == 0 || depth > DEPTH_MAX)
        return 0;
    struct bmm__debug_parts level = level_of(inlined, parent);
    for (uint32_t i = count_up_to(&level, address); i > 0 && level.parts[i - 1].reach > address; i--) {
        struct part *part = &level.parts[i - 1];
        if (address >= part->end)
            continue;
        if (part->is_inlined)
            found[0] = part->die;
        uint32_t count = part->is_inlined + find(inlined, &part->die, address, found + part->is_inlined,
                                                 capacity - part->is_inlined, depth + 1);
        if (count > 0)
            return count;
    }
    return 0;
}

uint32_t bmm__debug_inlined_around(struct bmm__debug_inlined *inlined, const Dwarf_Die *function, uint64_t address,
                                   Dwarf_Die *found, uint32_t capacity)
{
    Dwarf_Die at = *function;
    return find(inlined, &at, address, found, capacity, 0);
}

void bmm__debug_inlined_free(struct bmm__debug_inlined *inlined)
{
    for (uint32_t i = 0; i < inlined->count; i++)
        free(inlined->list[i].parts);
    free(inlined->list);
    bmm__map_free(&inlined->levels);
    *inlined = (struct bmm__debug_inlined){ 0 };
}
