/* Which inlined functions an address lies in.
 *
 * Inlined functions and blocks are nested as their ranges are, so the way from a function down to an address is one step a level.
 * The parts of a level are listed once, when a way first leads through it, by where they start: a function that calls
 * ten thousand others has a DIE for each call, and to walk over all of them for every address would take seconds.
 */
#ifndef BMM_REPORT_DEBUG_INLINED_H
#define BMM_REPORT_DEBUG_INLINED_H

#include "report/map.h"

#include <elfutils/libdw.h>

struct bmm__debug_parts;

/* All zero is empty. */
struct bmm__debug_inlined {
    struct bmm__map levels; /* address of the DIE around → list */
    struct bmm__debug_parts *list;
    uint32_t count, capacity;
};

/* The inlined functions around the address inside the function, outermost first; returns how many, at most `capacity`. */
uint32_t bmm__debug_inlined_around(struct bmm__debug_inlined *inlined, const Dwarf_Die *function, uint64_t address,
                                   Dwarf_Die *found, uint32_t capacity);
void bmm__debug_inlined_free(struct bmm__debug_inlined *inlined);

#endif
