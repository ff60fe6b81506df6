/* Which inlined functions an address lies in.
 *
 *   function ─► its parts, by start ─► inlined function or block ─► its parts ─► …
 *
 * Inlined functions and blocks are nested as their ranges are, so the way from a function down to an address is one step a level.
 * The parts of a level are listed once, when a way first leads through it, by where they start: a function that calls
 * ten thousand others has a DIE for each call, and to walk over all of them for every address would take seconds.
 */
#ifndef BMM_REPORT_DEBUG_INLINED_H
#define BMM_REPORT_DEBUG_INLINED_H

#include "report/arena.h"

#include <elfutils/libdw.h>
#include <stdbool.h>

struct bmm__debug_part;

/* A function, an inlined one or a block, with what was found out about it so far. */
struct bmm__debug_node {
    Dwarf_Die die;
    const struct bmm__debug_part *parts; /* the level below, by start */
    uint32_t part_count;
    bool is_listed; /* parts are */
    bool is_inlined;
    bool is_known;         /* the rest is; for who asks for frames */
    uint32_t call_line;    /* of an inlined one: 0: unknown */
    const char *name;      /* NULL: unknown */
    const char *call_file; /* NULL: unknown */
};

/* All zero but for the arena is empty. */
struct bmm__debug_inlined {
    struct bmm__arena *arena;      /* the owner's; of nodes and parts */
    struct bmm__debug_part *found; /* parts of the level that is being made */
    uint32_t found_count, found_capacity;
};

/* A node of a function. It lives as long as the arena. */
struct bmm__debug_node *bmm__debug_inlined_node(struct bmm__debug_inlined *inlined, const Dwarf_Die *function);

/* The inlined functions around the address inside the function, outermost first; returns how many, at most `capacity`. */
uint32_t bmm__debug_inlined_around(struct bmm__debug_inlined *inlined, struct bmm__debug_node *function,
                                   uint64_t address, struct bmm__debug_node **found, uint32_t capacity);
void bmm__debug_inlined_free(struct bmm__debug_inlined *inlined);

#endif
