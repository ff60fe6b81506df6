/* One compilation unit: its functions and its lines, indexed when first asked for. The picture
 * is in debug_info.h, which is the only user. */
#ifndef BMM_REPORT_DEBUG_UNIT_H
#define BMM_REPORT_DEBUG_UNIT_H

#include "report/arena.h"
#include "report/debug_info.h"
#include "report/debug_inlined.h"
#include "report/debug_scope.h"

struct bmm__debug_function {
    uint64_t start, end; /* one entry per range */
    struct bmm__debug_node *node;
};

struct bmm__debug_unit {
    Dwarf_Die die;                         /* ranges and lines */
    Dwarf_Die tree;                        /* functions: the same, or the root of the .dwo file */
    struct bmm__debug_function *functions; /* by start */
    uint32_t function_count, function_capacity;
    Dwarf_Lines *lines;
    size_t line_count;
    Dwarf_Files *files; /* that call_file counts in */
    size_t file_count;
    struct bmm__arena names; /* of functions and files that have no name as a whole in the file */
    struct bmm__map paths;   /* address of a relative path → whole_paths */
    const char **whole_paths;
    uint32_t whole_count, whole_capacity;
    struct bmm__debug_scopes scopes;
    struct bmm__debug_inlined blocks;
    struct bmm__map inlined_names; /* address of the DIE of a function that is inlined → inlined */
    const char **inlined;
    uint32_t inlined_count, inlined_capacity;
    struct bmm__map abbreviations; /* a DIE's abbreviation → has_code */
    bool *has_code;                /* who has it may have ranges */
    uint32_t abbreviation_count, abbreviation_capacity;
    bool is_indexed, is_indexed_deeply;
};

/* False for what linkers leave of functions they threw away: ranges at 0, 1 or the top. */
bool bmm__debug_range_is_real(uint64_t start, uint64_t end);

uint32_t bmm__debug_unit_frames(struct bmm__debug_unit *unit, uint64_t address, struct bmm__source_frame *frames,
                                uint32_t capacity);
void bmm__debug_unit_free(struct bmm__debug_unit *unit);

#endif
