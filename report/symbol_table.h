/* The functions of a module's ELF symbol tables (.symtab, .dynsym, .gnu_debugdata), sorted by address.
 *
 * Where several names share an address one is kept, the same on every machine: labels last, then local names, then the fewest
 * leading underscores, global before weak, the alphabet; so strdup, not __strdup or __GI___strdup. Hand-written assembly often
 * says neither type nor size: a label counts where it is in no function, and what has no size lasts until the next symbol, or the end
 * of its section.
 */
#ifndef BMM_REPORT_SYMBOL_TABLE_H
#define BMM_REPORT_SYMBOL_TABLE_H

#include "report/module_file.h"

#include <stdint.h>

struct bmm__symbol {
    uint64_t start, end; /* [start, end) in the file's addresses */
    const char *name;    /* lives as long as the module file is open; may end in @VERSION */
    uint8_t binding;     /* STB_… */
    bool is_label;       /* in code, but nobody says that it is a function */
};

/* All zero is an empty table. */
struct bmm__symbol_table {
    struct bmm__symbol *symbols;
    uint32_t count, capacity;
};

void bmm__symbol_table_fill(struct bmm__symbol_table *table, const struct bmm__module_file *file);
/* Calls add for every symbol of the file that is defined, of whatever type; sort ends it. */
typedef void bmm__symbol_adder(struct bmm__symbol_table *table, uint64_t start, const GElf_Sym *symbol,
                               const char *name, bool is_label);
void bmm__symbol_table_fill_by(struct bmm__symbol_table *table, const struct bmm__module_file *file,
                               bmm__symbol_adder *add_symbol);
/* By hand: adds what is a function or a label, at start (st_value is not used); sort ends it. */
void bmm__symbol_table_add(struct bmm__symbol_table *table, uint64_t start, const GElf_Sym *symbol, const char *name,
                           bool is_label);
void bmm__symbol_table_sort(struct bmm__symbol_table *table);
/* The symbol that address lies in; NULL: none. */
const char *bmm__symbol_table_find(const struct bmm__symbol_table *table, uint64_t address);
void bmm__symbol_table_free(struct bmm__symbol_table *table);

#endif
