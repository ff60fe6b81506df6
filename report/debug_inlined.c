#include "report/debug_inlined.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 256 /* deeper trees come from damaged files only */

/* One range of an inlined function or a block. */
struct bmm__debug_part {
    uint64_t start, end;
    uint64_t reach; /* the largest end of those up to this one: behind it none of them can be */
    struct bmm__debug_node *node;
};

static bool is_block(int tag)
{
    return tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block ||
           tag == DW_TAG_with_stmt;
}

struct bmm__debug_node *bmm__debug_inlined_node(struct bmm__debug_inlined *inlined, const Dwarf_Die *function)
{
    struct bmm__debug_node *node = bmm__arena_alloc(inlined->arena, sizeof *node);
    *node = (struct bmm__debug_node){ .die = *function };
    return node;
}

static void add_part(struct bmm__debug_inlined *inlined, uint64_t start, uint64_t end, struct bmm__debug_node *node)
{
    inlined->found =
        bmm__grow(inlined->found, &inlined->found_capacity, (size_t)inlined->found_count + 1, sizeof *inlined->found);
    inlined->found[inlined->found_count++] = (struct bmm__debug_part){ .start = start, .end = end, .node = node };
}

/* A block without ranges is all of what is around it. */
static void add_ranges(struct bmm__debug_inlined *inlined, Dwarf_Die *die, bool is_inlined)
{
    struct bmm__debug_node *node = NULL;
    Dwarf_Addr base, start, end;
    ptrdiff_t at = 0;
    while ((at = dwarf_ranges(die, at, &base, &start, &end)) > 0) {
        if (node == NULL)
            node = bmm__debug_inlined_node(inlined, die);
        node->is_inlined = is_inlined;
        add_part(inlined, start, end, node);
    }
    if (node == NULL && !is_inlined)
        add_part(inlined, 0, UINT64_MAX, bmm__debug_inlined_node(inlined, die));
}

static int by_start(const void *left, const void *right)
{
    const struct bmm__debug_part *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

static bool is_sorted(const struct bmm__debug_part *parts, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (parts[i].start < parts[i - 1].start)
            return false;
    return true;
}

static void list_parts(struct bmm__debug_inlined *inlined, struct bmm__debug_node *node)
{
    Dwarf_Die die;
    node->is_listed = true;
    inlined->found_count = 0;
    if (dwarf_child(&node->die, &die) != 0)
        return;
    do {
        int tag = dwarf_tag(&die);
        bool is_inlined = tag == DW_TAG_inlined_subroutine;
        if (is_inlined || is_block(tag))
            add_ranges(inlined, &die, is_inlined);
    } while (dwarf_siblingof(&die, &die) == 0);
    if (inlined->found_count == 0)
        return;
    if (!is_sorted(inlined->found, inlined->found_count))
        qsort(inlined->found, inlined->found_count, sizeof *inlined->found, by_start);
    uint64_t reach = 0;
    for (uint32_t i = 0; i < inlined->found_count; i++)
        inlined->found[i].reach = reach = inlined->found[i].end > reach ? inlined->found[i].end : reach;
    size_t bytes = inlined->found_count * sizeof *inlined->found;
    node->parts = memcpy(bmm__arena_alloc(inlined->arena, bytes), inlined->found, bytes);
    node->part_count = inlined->found_count;
}

/* Number of parts that start at or before the address. */
static uint32_t count_up_to(const struct bmm__debug_node *node, uint64_t address)
{
    uint32_t low = 0, high = node->part_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (node->parts[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t find(struct bmm__debug_inlined *inlined, struct bmm__debug_node *around, uint64_t address,
                     struct bmm__debug_node **found, uint32_t capacity, unsigned depth)
{
    if (capacity == 0 || depth > DEPTH_MAX)
        return 0;
    if (!around->is_listed)
        list_parts(inlined, around);
    for (uint32_t i = count_up_to(around, address); i > 0 && around->parts[i - 1].reach > address; i--) {
        const struct bmm__debug_part *part = &around->parts[i - 1];
        if (address >= part->end)
            continue;
        struct bmm__debug_node *node = part->node;
        if (node->is_inlined)
            found[0] = node;
        uint32_t count = node->is_inlined +
                         find(inlined, node, address, found + node->is_inlined, capacity - node->is_inlined, depth + 1);
        if (count > 0)
            return count;
    }
    return 0;
}

uint32_t bmm__debug_inlined_around(struct bmm__debug_inlined *inlined, struct bmm__debug_node *function,
                                   uint64_t address, struct bmm__debug_node **found, uint32_t capacity)
{
    return find(inlined, function, address, found, capacity, 0);
}

void bmm__debug_inlined_free(struct bmm__debug_inlined *inlined)
{
    free(inlined->found);
    *inlined = (struct bmm__debug_inlined){ 0 };
}
