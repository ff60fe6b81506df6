/* Classes by their tables of virtual methods, as C++ ("vtable for Thing") and FreePascal (VMT_$UNIT_$$_TTHING) name them. An
 * object begins with an address in the table of its class: in C++ somewhere in it, in FreePascal its start.
 *
 *   FreePascal:  VMT_$UNIT_$$_TTHING  ┌ size ┬ -size ┬ parent ┬ name ┬ …      name ──► length, 1 byte, and text:
 *                                     0      8       16       24                      the class as its source writes it
 */
#ifndef BMM_REPORT_TYPE_NAME_H
#define BMM_REPORT_TYPE_NAME_H

#include "report/module_file.h"
#include "report/strings.h"
#include "report/symbol_table.h"

/* Those tables, by address in the file. */
void bmm__type_table_fill(struct bmm__symbol_table *table, const struct bmm__module_file *file);

/* The class of the table at the address with that symbol, interned. Of FreePascal's the file is asked for the name. NULL: it
 * has none that can be read. */
const char *bmm__type_name(struct bmm__strings *strings, const struct bmm__module_file *file, const char *symbol,
                           uint64_t address);

#endif
