/* DWARF expressions, as unwind tables use them: a small stack machine over registers and memory. */
#ifndef BMM_STACK_EXPRESSION_H
#define BMM_STACK_EXPRESSION_H

#include "stack_arch.h"
#include "stack_bytes.h"

#include <stdbool.h>

/* Registers of one frame. Which hold what the frame had is not known for all: is_known says it. */
struct bmm__registers {
    uintptr_t value[BMM__ARCH_REGISTERS + 1]; /* one more: where an own pc is put that is no DWARF register */
    bool is_known[BMM__ARCH_REGISTERS + 1];
};

/* Evaluates an expression, with `first` on the stack if push_first. Memory is read only where the kernel says that
 * it can be. False: an operation that is not known, a register that is not, memory that cannot be read. */
bool bmm__expression_value(struct bmm__bytes expression, const struct bmm__registers *registers, bool push_first,
                           uintptr_t first, uintptr_t *result);

/* The word at address, if it can be read. */
bool bmm__memory_read(uintptr_t address, uintptr_t *value);

#endif
