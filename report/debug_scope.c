#include "report/debug_scope.h"

#include "report/arena.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64 /* larger trees come from damaged files only */
#define MEMBERS_MAX 4096

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

static bool is_lambda(const Dwarf_Die *die)
{
    Dwarf_Die at = *die, member;
    int tag = dwarf_tag(&at), left = MEMBERS_MAX;
    if ((tag != DW_TAG_class_type && tag != DW_TAG_structure_type) || dwarf_diename(&at) != NULL ||
        dwarf_child(&at, &member) != 0)
        return false;
    do {
        const char *name = dwarf_tag(&member) == DW_TAG_subprogram ? dwarf_diename(&member) : NULL;
        if (name != NULL && strcmp(name, "operator()") == 0)
            return true;
    } while (--left > 0 && dwarf_siblingof(&member, &member) == 0);
    return false;
}

struct count {
    uintptr_t before,
        visited; /* in a tree the way leads to ever higher addresses; damaged files lead around in circles */
    uint32_t lambdas;
};

static void count_lambdas(struct bmm__debug_scopes *scopes, Dwarf_Die *parent, unsigned depth, struct count *count)
{
    struct bmm__debug_level level = *level_of(scopes, parent); /* the list may move, what is listed does not */
    for (uint32_t i = 0; i < level.count; i++) {
        uintptr_t address = (uintptr_t)level.scopes[i].addr;
        if (address >= count->before || address <= count->visited)
            return;
        count->visited = address;
        if (!is_block(&level.scopes[i]))
            count->lambdas += is_lambda(&level.scopes[i]);
        else if (depth < DEPTH_MAX)
            count_lambdas(scopes, &level.scopes[i], depth + 1, count);
    }
}

uint32_t bmm__debug_scope_lambda(struct bmm__debug_scopes *scopes, const Dwarf_Die *scope, const Dwarf_Die *around,
                                 uint32_t count)
{
    Dwarf_Die at = *scope, parent;
    if (!is_lambda(scope))
        return 0;
    while (count > 0 && is_block(&around[count - 1]))
        count--;
    if (count > 0)
        parent = around[count - 1];
    else if (dwarf_diecu(&at, &parent, NULL, NULL) == NULL)
        return 1;
    struct count counted = { .before = (uintptr_t)scope->addr };
    count_lambdas(scopes, &parent, 0, &counted);
    return counted.lambdas + 1;
}

void bmm__debug_scopes_free(struct bmm__debug_scopes *scopes)
{
    for (uint32_t i = 0; i < scopes->count; i++)
        free(scopes->list[i].scopes);
    free(scopes->list);
    bmm__map_free(&scopes->levels);
    *scopes = (struct bmm__debug_scopes){ 0 };
}
