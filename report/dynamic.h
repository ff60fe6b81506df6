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
#include <stdbool.h>
#include <stdint.h>

/* What the jumps of a function lead to. */
struct bmm__tail {
    const char *name; /* NULL: nothing */
    bool is_doubtful; /* or to something else */
};

/* All zero knows nothing. Names live as long as the ELF file is open. */
struct bmm__dynamic {
    Elf *elf; /* NULL: has no dynamic section */
    struct bmm__symbol_table exports;
    struct bmm__map slots; /* (address of the slot, 0) → names */
    const char **names;
    uint32_t name_count, name_capacity;
    uint64_t *starts; /* of functions, ascending, from the table that unwinding uses */
    uint32_t start_count;
    struct bmm__map tails; /* functions that were looked through → tail_list */
    struct bmm__tail *tail_list;
    uint32_t tail_count, tail_capacity;
};

/* has_exports: whether they will be asked for. */
void bmm__dynamic_open(struct bmm__dynamic *dynamic, Elf *elf, bool has_exports);
void bmm__dynamic_close(struct bmm__dynamic *dynamic);

/* The exported function that address lies in; NULL: none. */
const char *bmm__dynamic_export(const struct bmm__dynamic *dynamic, uint64_t address);

/* The function that the call instruction before return_address calls through a slot, at once or because what it calls
 * ends in a jump there (tail_call.h); NULL: not known. */
const char *bmm__dynamic_callee(struct bmm__dynamic *dynamic, uint64_t return_address);

/* ---- for tail_call.c ---- */

/* The code from address to the end of its section, *left bytes of it; NULL: none. */
const unsigned char *bmm__dynamic_code(const struct bmm__dynamic *dynamic, uint64_t address, uint64_t *left);
/* The name that goes with a slot, and with a stub that jumps through one; NULL: it is neither. */
const char *bmm__dynamic_slot(struct bmm__dynamic *dynamic, uint64_t slot);
const char *bmm__dynamic_stub(struct bmm__dynamic *dynamic, uint64_t address);
/* The address that a field of 4 bytes names, relative to `from`. */
uint64_t bmm__displaced(uint64_t from, const unsigned char *field);

#endif
