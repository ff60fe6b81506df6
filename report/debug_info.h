/* DWARF of one module: from an address to functions (inlined ones too), files and lines.
 *
 * Words. *Unit*: a compilation unit. *Function*: a concrete subprogram with address ranges.
 *
 *   address ─► unit ranges (all units, once) ─► functions of the unit (when first hit)
 *                                               └► inlined functions around the address, by descent
 *
 * An own index, because libdw's dwarf_getscopes walks a unit's whole tree for each address: 2.2 ms each against 5 µs.
 * Strings returned belong to libdw and live as long as the module file is open. Addresses are DWARF's own.
 */
#ifndef BMM_REPORT_DEBUG_INFO_H
#define BMM_REPORT_DEBUG_INFO_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

struct bmm__debug_info;

/* Never NULL; a module without units answers nothing. */
struct bmm__debug_info *bmm__debug_info_make(Dwarf *dwarf);
/* False if a file that belongs to it (.dwo, dwz's) was not found. */
bool bmm__debug_info_is_whole(const struct bmm__debug_info *info);
void bmm__debug_info_free(struct bmm__debug_info *info);

struct bmm__source_frame {
    const char *function; /* linkage name, or plain name; NULL: unknown */
    const char *file;     /* NULL: unknown */
    uint32_t line;        /* 0: unknown */
};

/* Frames at the address, innermost first, the last one being the function that is really there. Returns how many
 * (at most capacity); 0: no unit has the address. */
uint32_t bmm__debug_info_frames(struct bmm__debug_info *info, uint64_t address, struct bmm__source_frame *frames,
                                uint32_t capacity);

#endif
