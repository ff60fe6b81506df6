/* One compilation unit: its functions, their inline ranges, its lines, each indexed when first asked for. The picture
 * is in debug_info.h, which is the only user. */
#ifndef BMM_REPORT_DEBUG_UNIT_H
#define BMM_REPORT_DEBUG_UNIT_H

#include "report/arena.h"
#include "report/debug_info.h"

struct bmm__inline_range {
    uint64_t start, end;
    uint32_t depth; /* 1: inlined into the function itself */
    Dwarf_Die die;
};

struct bmm__debug_function {
    uint64_t start, end; /* one entry per range */
    Dwarf_Die die;
    struct bmm__inline_range *inlines; /* of all ranges of the function, parents before children */
    uint32_t inline_count;
    bool is_indexed;
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
    struct bmm__arena names; /* of functions that have no name as a whole in the file; until clear */
    bool is_indexed, is_indexed_deeply;
};

/* False for what linkers leave of functions they threw away: ranges at 0, 1 or the top. */
bool bmm__debug_range_is_real(uint64_t start, uint64_t end);

uint32_t bmm__debug_unit_frames(struct bmm__debug_unit *unit, uint64_t address, struct bmm__source_frame *frames,
                                uint32_t capacity);
void bmm__debug_unit_clear(struct bmm__debug_unit *unit);

#endif
