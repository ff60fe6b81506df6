/* The functions of a module's ELF symbol tables (.symtab, .dynsym, .gnu_debugdata), sorted by address.
 *
 * Where several names share an address one is kept, the same on every machine: local names last, then the fewest
 * leading underscores, global before weak, the alphabet; so strdup, not __strdup or __GI___strdup.
 */
#ifndef BMM_REPORT_SYMBOL_TABLE_H
#define BMM_REPORT_SYMBOL_TABLE_H

#include "report/module_file.h"

#include <stdint.h>

struct bmm__symbol {
    uint64_t start, end; /* [start, end) in the file's addresses */
    const char *name;    /* lives as long as the module file is open; may end in @VERSION */
    uint8_t binding;     /* STB_… */
};

/* All zero is an empty table. */
struct bmm__symbol_table {
    struct bmm__symbol *symbols;
    uint32_t count, capacity;
};

void bmm__symbol_table_fill(struct bmm__symbol_table *table, const struct bmm__module_file *file);
/* Calls add for every symbol of the file that is defined, of whatever type, and sorts then. */
typedef void bmm__symbol_adder(struct bmm__symbol_table *table, uint64_t start, const GElf_Sym *symbol,
                               const char *name);
void bmm__symbol_table_fill_by(struct bmm__symbol_table *table, const struct bmm__module_file *file,
                               bmm__symbol_adder *add);
/* By hand: adds what is a function, at start (st_value is not used); sort ends it. */
void bmm__symbol_table_add(struct bmm__symbol_table *table, uint64_t start, const GElf_Sym *symbol, const char *name);
void bmm__symbol_table_sort(struct bmm__symbol_table *table);
/* The symbol that address lies in; NULL: none. */
const char *bmm__symbol_table_find(const struct bmm__symbol_table *table, uint64_t address);
void bmm__symbol_table_free(struct bmm__symbol_table *table);

#endif
