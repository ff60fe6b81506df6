#include "report/debug_unit.h"

#include "report/arena.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#define TREE_DEPTH_MAX 256 /* deeper trees come from damaged files only */
#define SCOPES_MAX 64

bool bmm__debug_range_is_real(uint64_t start, uint64_t end)
{
    return start > 1 && start < end && end < (uint64_t)-16;
}

static int by_start(const void *left, const void *right)
{
    const struct bmm__debug_function *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

/* Most subprograms are declarations, and which attributes a DIE has stands in its abbreviation, of which a unit has hundreds. */
static bool may_have_code(struct bmm__debug_unit *unit, Dwarf_Die *die)
{
    bool is_new;
    uint32_t index = bmm__map_put(&unit->abbreviations, (uintptr_t)die->abbrev, 0, unit->abbreviation_count, &is_new);
    if (is_new) {
        unit->has_code = bmm__grow(unit->has_code, &unit->abbreviation_capacity, (size_t)unit->abbreviation_count + 1,
                                   sizeof *unit->has_code);
        unit->has_code[unit->abbreviation_count++] =
            die->abbrev == NULL || dwarf_hasattr(die, DW_AT_low_pc) || dwarf_hasattr(die, DW_AT_ranges);
    }
    return unit->has_code[index];
}

static void add_function(struct bmm__debug_unit *unit, Dwarf_Die *die)
{
    Dwarf_Addr base, start, end;
    ptrdiff_t at = 0;
    struct bmm__debug_node *node = NULL;
    if (!may_have_code(unit, die))
        return;
    while ((at = dwarf_ranges(die, at, &base, &start, &end)) > 0) {
        if (!bmm__debug_range_is_real(start, end))
            continue;
        if (node == NULL)
            node = bmm__debug_inlined_node(&unit->blocks, die);
        unit->functions = bmm__grow(unit->functions, &unit->function_capacity, (size_t)unit->function_count + 1,
                                    sizeof *unit->functions);
        unit->functions[unit->function_count++] =
            (struct bmm__debug_function){ .start = start, .end = end, .node = node };
    }
}

/* Functions stand at the top of a unit, in namespaces and modules; only nested ones and those of some languages'
 * types are deeper, and looking for them costs a walk over the whole tree. */
static bool is_entered(int tag, bool is_deep)
{
    if (tag == DW_TAG_namespace || tag == DW_TAG_module)
        return true;
    return is_deep && (tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block || tag == DW_TAG_structure_type ||
                       tag == DW_TAG_class_type || tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type);
}

static void find_functions(struct bmm__debug_unit *unit, Dwarf_Die *parent, bool is_deep, unsigned depth,
                           uintptr_t *visited)
{
    Dwarf_Die die;
    if (depth > TREE_DEPTH_MAX || dwarf_child(parent, &die) != 0)
        return;
    do {
        int tag = dwarf_tag(&die);
        if ((uintptr_t)die.addr <= *visited) /* damaged files lead around in circles */
            return;
        *visited = (uintptr_t)die.addr;
        if (tag == DW_TAG_subprogram)
            add_function(unit, &die);
        if (is_entered(tag, is_deep))
            find_functions(unit, &die, is_deep, depth + 1, visited);
    } while (dwarf_siblingof(&die, &die) == 0);
}

/* But for their nodes. */
static void forget_functions(struct bmm__debug_unit *unit)
{
    free(unit->functions);
    unit->functions = NULL;
    unit->function_count = unit->function_capacity = 0;
}

static void index_functions(struct bmm__debug_unit *unit, bool is_deep)
{
    uintptr_t visited = 0;
    forget_functions(unit);
    find_functions(unit, &unit->tree, is_deep, 0, &visited);
    if (unit->function_count > 0)
        qsort(unit->functions, unit->function_count, sizeof *unit->functions, by_start);
    unit->is_indexed = true;
    unit->is_indexed_deeply = is_deep;
    if (dwarf_getsrclines(&unit->die, &unit->lines, &unit->line_count) != 0)
        unit->line_count = 0;
    if (dwarf_getsrcfiles(&unit->tree, &unit->files, &unit->file_count) != 0)
        unit->file_count = 0;
}

static struct bmm__debug_function *find_function(struct bmm__debug_unit *unit, uint64_t address)
{
    uint32_t low = 0, high = unit->function_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (unit->functions[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    for (uint32_t i = low; i > 0 && low - i < 8; i--)
        if (address < unit->functions[i - 1].end)
            return &unit->functions[i - 1];
    return NULL;
}

/* The die of the function as its namespace or class has it, of an inlined or out-of-class one. */
static Dwarf_Die declaration_of(const Dwarf_Die *die)
{
    Dwarf_Die at = *die;
    Dwarf_Attribute attribute;
    for (unsigned i = 0; i < 4; i++)
        if (dwarf_formref_die(dwarf_attr(&at, DW_AT_abstract_origin, &attribute), &at) == NULL &&
            dwarf_formref_die(dwarf_attr(&at, DW_AT_specification, &attribute), &at) == NULL)
            break;
    return at;
}

/* What stands between a scope and a name in it; NULL: names are not qualified. */
static const char *separator_of(const struct bmm__debug_unit *unit)
{
    Dwarf_Die tree = unit->tree;
    switch (dwarf_srclang(&tree)) {
    case DW_LANG_Pascal83:
        return ".";
    case DW_LANG_C_plus_plus:
    case DW_LANG_C_plus_plus_03:
    case DW_LANG_C_plus_plus_11:
    case DW_LANG_C_plus_plus_14:
    case 0x2a: /* C++17 and */
    case 0x2b: /* C++20, which older headers do not name */
        return "::";
    default:
        return NULL;
    }
}

/* What only one file of C++ can see has no linkage name: its namespaces and classes stand around it. FreePascal gives none at
 * all, and a name that nobody can write to what stands for main. */
static const char *qualified_name(struct bmm__debug_unit *unit, Dwarf_Die *die)
{
    const char *name = dwarf_diename(die), *separator = separator_of(unit);
    if (name == NULL || separator == NULL)
        return name;
    if (separator[0] == '.' && strcmp(name, "$main") == 0)
        return "main";
    Dwarf_Die declaration = declaration_of(die), scopes[SCOPES_MAX];
    for (uint32_t i = bmm__debug_scopes_around(&unit->scopes, &declaration, scopes, SCOPES_MAX); i-- > 0;) {
        const char *scope = dwarf_diename(&scopes[i]);
        int tag = dwarf_tag(&scopes[i]);
        if (scope == NULL && tag == DW_TAG_namespace)
            scope = "(anonymous namespace)";
        uint32_t lambda = scope == NULL ? bmm__debug_scope_lambda(&unit->scopes, &scopes[i], scopes, i) : 0;
        if (lambda != 0)
            scope = bmm__arena_printf(&unit->names, "{lambda#%u}", lambda);
        if (scope != NULL && tag != DW_TAG_lexical_block)
            name = bmm__arena_printf(&unit->names, "%s%s%s", scope, separator, name);
    }
    return name;
}

/* The linkage name where it is mangled and says more than the plain one; in C it is an alias at best. */
static const char *function_name(struct bmm__debug_unit *unit, Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    const char *name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute));
    if (name == NULL)
        name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute));
    bool is_mangled = name != NULL && name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
    const char *qualified = is_mangled ? NULL : qualified_name(unit, die);
    return qualified != NULL ? qualified : name; /* what compilers make may have no other */
}

/* Of a function that is inlined in many places: found out once. */
static const char *inlined_name(struct bmm__debug_unit *unit, Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    Dwarf_Die origin;
    if (dwarf_formref_die(dwarf_attr(die, DW_AT_abstract_origin, &attribute), &origin) == NULL)
        return function_name(unit, die);
    bool is_new;
    uint32_t index = bmm__map_put(&unit->inlined_names, (uintptr_t)origin.addr, 0, unit->inlined_count, &is_new);
    if (is_new) {
        unit->inlined =
            bmm__grow(unit->inlined, &unit->inlined_capacity, (size_t)unit->inlined_count + 1, sizeof *unit->inlined);
        unit->inlined[unit->inlined_count++] = function_name(unit, &origin);
    }
    return unit->inlined[index];
}

/* Paths are relative to the folder that the unit was compiled in, which may be unknown: then they stay so. */
static const char *whole_path(struct bmm__debug_unit *unit, const char *path)
{
    Dwarf_Attribute attribute;
    if (path == NULL || path[0] == '/')
        return path;
    bool is_new;
    uint32_t index = bmm__map_put(&unit->paths, (uintptr_t)path, 0, unit->whole_count, &is_new);
    if (is_new) {
        const char *folder = dwarf_formstring(dwarf_attr(&unit->die, DW_AT_comp_dir, &attribute));
        unit->whole_paths = bmm__grow(unit->whole_paths, &unit->whole_capacity, (size_t)unit->whole_count + 1,
                                      sizeof *unit->whole_paths);
        unit->whole_paths[unit->whole_count++] =
            folder != NULL && folder[0] == '/' ? bmm__arena_printf(&unit->names, "%s/%s", folder, path) : path;
    }
    return unit->whole_paths[index];
}

/* The line table's row for the address. Line 0 says "no line of the source": the row before it is the better answer. */
static void find_line(struct bmm__debug_unit *unit, uint64_t address, struct bmm__source_frame *frame)
{
    size_t low = 0, high = unit->line_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        Dwarf_Addr start = 0;
        dwarf_lineaddr(dwarf_onesrcline(unit->lines, middle), &start);
        if (start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low; i > 0 && low - i < 16; i--) {
        Dwarf_Line *row = dwarf_onesrcline(unit->lines, i - 1);
        bool is_end = false;
        int line = 0;
        if (dwarf_lineendsequence(row, &is_end) != 0 || is_end)
            return;
        if (dwarf_lineno(row, &line) != 0 || line <= 0)
            continue;
        frame->file = whole_path(unit, dwarf_linesrc(row, NULL, NULL));
        frame->line = (uint32_t)line;
        return;
    }
}

/* Where an inlined function was called from: file and line of the frame outside it. */
static void find_call(struct bmm__debug_unit *unit, struct bmm__debug_node *node)
{
    Dwarf_Attribute attribute;
    Dwarf_Word file = 0, line = 0;
    if (dwarf_formudata(dwarf_attr(&node->die, DW_AT_call_line, &attribute), &line) == 0 && line <= INT32_MAX)
        node->call_line = (uint32_t)line;
    if (dwarf_formudata(dwarf_attr(&node->die, DW_AT_call_file, &attribute), &file) == 0 && file < unit->file_count)
        node->call_file = whole_path(unit, dwarf_filesrc(unit->files, file, NULL, NULL));
}

static const struct bmm__debug_node *known(struct bmm__debug_unit *unit, struct bmm__debug_node *node)
{
    if (node->is_known)
        return node;
    node->is_known = true;
    node->name = node->is_inlined ? inlined_name(unit, &node->die) : function_name(unit, &node->die);
    if (node->is_inlined)
        find_call(unit, node);
    return node;
}

uint32_t bmm__debug_unit_frames(struct bmm__debug_unit *unit, uint64_t address, struct bmm__source_frame *frames,
                                uint32_t capacity)
{
    if (!unit->is_indexed)
        index_functions(unit, false);
    struct bmm__debug_function *function = find_function(unit, address);
    if (function == NULL && !unit->is_indexed_deeply) {
        index_functions(unit, true);
        function = find_function(unit, address);
    }
    struct bmm__source_frame place = { 0 };
    find_line(unit, address, &place);
    if (function == NULL) { /* assembly has lines, but no functions */
        frames[0] = place;
        return place.file != NULL;
    }
    struct bmm__debug_node *chain[SCOPES_MAX];
    uint32_t depth = bmm__debug_inlined_around(&unit->blocks, function->node, address, chain,
                                               capacity - 1 < SCOPES_MAX ? capacity - 1 : SCOPES_MAX);
    for (uint32_t i = 0; i <= depth; i++) {
        const struct bmm__debug_node *node = known(unit, i < depth ? chain[depth - 1 - i] : function->node);
        frames[i] = (struct bmm__source_frame){ node->name, place.file, place.line };
        place = (struct bmm__source_frame){ NULL, node->call_file, node->call_line };
    }
    return depth + 1;
}

void bmm__debug_unit_free(struct bmm__debug_unit *unit)
{
    forget_functions(unit);
    bmm__debug_scopes_free(&unit->scopes);
    bmm__debug_inlined_free(&unit->blocks);
    bmm__map_free(&unit->abbreviations);
    free(unit->has_code);
    bmm__map_free(&unit->inlined_names);
    free(unit->inlined);
    bmm__map_free(&unit->paths);
    free(unit->whole_paths);
    bmm__arena_free(&unit->names);
}
