#include "report/debug_scope.h"

#include "report/arena.h"

#include <dwarf.h>
#include <stdlib.h>

struct bmm__debug_level {
    Dwarf_Die *scopes; /* by address */
    uint32_t count, capacity;
};

static bool is_scope(int tag)
{
    return tag == DW_TAG_namespace || tag == DW_TAG_module || tag == DW_TAG_class_type ||
           tag == DW_TAG_structure_type || tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type ||
           tag == DW_TAG_interface_type || tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block ||
           tag == DW_TAG_inlined_subroutine || tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
}

static struct bmm__debug_level make_level(Dwarf_Die *parent)
{
    struct bmm__debug_level level = { 0 };
    Dwarf_Die die;
    if (dwarf_child(parent, &die) != 0)
        return level;
    do {
        if (!is_scope(dwarf_tag(&die)) || dwarf_haschildren(&die) <= 0)
            continue;
        level.scopes = bmm__grow(level.scopes, &level.capacity, (size_t)level.count + 1, sizeof *level.scopes);
        level.scopes[level.count++] = die;
    } while (dwarf_siblingof(&die, &die) == 0);
    return level;
}

static const struct bmm__debug_level *level_of(struct bmm__debug_scopes *scopes, Dwarf_Die *parent)
{
    bool is_new;
    uint32_t index = bmm__map_put(&scopes->levels, (uintptr_t)parent->addr, 0, scopes->count, &is_new);
    if (is_new) {
        scopes->list = bmm__grow(scopes->list, &scopes->capacity, (size_t)scopes->count + 1, sizeof *scopes->list);
        scopes->list[scopes->count++] = make_level(parent);
    }
    return &scopes->list[index];
}

/* The last that begins before the address; NULL: none. */
static const Dwarf_Die *last_before(const struct bmm__debug_level *level, uintptr_t address)
{
    uint32_t low = 0, high = level->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((uintptr_t)level->scopes[middle].addr < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &level->scopes[low - 1] : NULL;
}

/* Behind all its descendants. */
static bool is_within(const Dwarf_Die *scope, uintptr_t address)
{
    Dwarf_Die around = *scope, next;
    return dwarf_siblingof(&around, &next) != 0 || address < (uintptr_t)next.addr;
}

uint32_t bmm__debug_scopes_around(struct bmm__debug_scopes *scopes, const Dwarf_Die *die, Dwarf_Die *found,
                                  uint32_t capacity)
{
    Dwarf_Die at = *die, unit;
    uintptr_t address = (uintptr_t)die->addr;
    uint32_t count = 0;
    if (dwarf_diecu(&at, &unit, NULL, NULL) == NULL)
        return 0;
    at = unit;
    while (count < capacity) {
        const Dwarf_Die *scope = last_before(level_of(scopes, &at), address);
        if (scope == NULL || !is_within(scope, address))
            break;
        found[count++] = at = *scope;
    }
    return count;
}

static bool is_block(const Dwarf_Die *die)
{
    Dwarf_Die at = *die;
    int tag = dwarf_tag(&at);
    return tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
}

bool bmm__debug_is_type(const Dwarf_Die *die)
{
    Dwarf_Die at = *die;
    int tag = dwarf_tag(&at);
    return tag == DW_TAG_class_type || tag == DW_TAG_structure_type || tag == DW_TAG_union_type;
}

static uint32_t count_nameless_types(struct bmm__debug_scopes *scopes, Dwarf_Die *parent, uintptr_t before)
{
    struct bmm__debug_level level = *level_of(scopes, parent); /* the list may move, what is listed does not */
    uint32_t count = 0;
    for (uint32_t i = 0; i < level.count && (uintptr_t)level.scopes[i].addr < before; i++) {
        if (is_block(&level.scopes[i]))
            count += count_nameless_types(scopes, &level.scopes[i], before);
        else
            count += bmm__debug_is_type(&level.scopes[i]) && dwarf_diename(&level.scopes[i]) == NULL;
    }
    return count;
}

uint32_t bmm__debug_scope_number(struct bmm__debug_scopes *scopes, const Dwarf_Die *type, const Dwarf_Die *around,
                                 uint32_t count)
{
    Dwarf_Die at = *type, parent;
    while (count > 0 && is_block(&around[count - 1]))
        count--;
    if (count > 0)
        parent = around[count - 1];
    else if (dwarf_diecu(&at, &parent, NULL, NULL) == NULL)
        return 1;
    return count_nameless_types(scopes, &parent, (uintptr_t)type->addr) + 1;
}

void bmm__debug_scopes_free(struct bmm__debug_scopes *scopes)
{
    for (uint32_t i = 0; i < scopes->count; i++)
        free(scopes->list[i].scopes);
    free(scopes->list);
    bmm__map_free(&scopes->levels);
    *scopes = (struct bmm__debug_scopes){ 0 };
}
