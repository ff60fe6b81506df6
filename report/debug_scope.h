/* What stands around a function in the source: the namespaces, classes and functions that a DIE is nested in.
 *
 * A DIE's descendants stand behind it and before its next sibling, so the way from a unit down to a DIE is found by address,
 * one step a level; the scopes of a level are listed once, when a way first leads through it.
 * (libdw's dwarf_getscopes_die walks the whole unit for every answer.)
 */
#ifndef BMM_REPORT_DEBUG_SCOPE_H
#define BMM_REPORT_DEBUG_SCOPE_H

#include "report/map.h"

#include <elfutils/libdw.h>

struct bmm__debug_level;

/* All zero is empty. */
struct bmm__debug_scopes {
    struct bmm__map levels; /* address of the DIE around → list */
    struct bmm__debug_level *list;
    uint32_t count, capacity;
};

/* The scopes around the DIE, outermost first, without its unit; returns how many, at most `capacity`. */
uint32_t bmm__debug_scopes_around(struct bmm__debug_scopes *scopes, const Dwarf_Die *die, Dwarf_Die *found,
                                  uint32_t capacity);
/* 0: the scope is no lambda's class, which has no name and can be called. Else the first one in the scope that has a name around it,
 * blocks not counted, is 1, and so on. `around` are the scopes around it, outermost first. */
uint32_t bmm__debug_scope_lambda(struct bmm__debug_scopes *scopes, const Dwarf_Die *scope, const Dwarf_Die *around,
                                 uint32_t count);
void bmm__debug_scopes_free(struct bmm__debug_scopes *scopes);

#endif
