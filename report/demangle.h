/* Names as people write them: C++ and Rust (v0 and legacy), without what compilers append to clones, and FreePascal, as
 * UNIT.CLASS.METHOD: it keeps no small letters, and parameters are left out. */
#ifndef BMM_REPORT_DEMANGLE_H
#define BMM_REPORT_DEMANGLE_H

#include "report/strings.h"

/* The name of an ELF symbol or a DWARF linkage name, interned; a plain C name is returned as it is. */
const char *bmm__demangle(struct bmm__strings *strings, const char *symbol);

#endif
