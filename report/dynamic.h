/* What a module shows to the loader: the functions it exports, and the names of the functions it calls elsewhere.
 *
 * Both are in every file, stripped or not, because the loader needs them; so what is decided by them is decided the
 * same on a machine with debug symbols and on one without.
 *
 *   program: call fopen@plt ─► stub: jmp *slot ─► slot ◄─ relocation: "fopen"
 *            call *slot ─────────────────────────┘
 *
 * The name of the callee tells more than the address that is reached: fopen jumps to an inner function of libc
 * without a name, and that one is what a stack shows. Calls are decoded on x86-64; elsewhere no callee is known.
 */
#ifndef BMM_REPORT_DYNAMIC_H
#define BMM_REPORT_DYNAMIC_H

#include "report/map.h"
#include "report/symbol_table.h"

#include <libelf.h>
#include <stdint.h>

/* All zero knows nothing. Names live as long as the ELF file is open. */
struct bmm__dynamic {
    Elf *elf; /* NULL: has no dynamic section */
    struct bmm__symbol_table exports;
    struct bmm__map slots; /* (address of the slot, 0) → names */
    const char **names;
    uint32_t name_count, name_capacity;
};

void bmm__dynamic_open(struct bmm__dynamic *dynamic, Elf *elf);
void bmm__dynamic_close(struct bmm__dynamic *dynamic);

/* The exported function that address lies in; NULL: none. */
const char *bmm__dynamic_export(const struct bmm__dynamic *dynamic, uint64_t address);

/* The function that the call instruction before return_address calls through a slot; NULL: not known. */
const char *bmm__dynamic_callee(struct bmm__dynamic *dynamic, uint64_t return_address);

#endif
