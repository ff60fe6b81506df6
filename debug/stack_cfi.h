/* Unwind tables (.eh_frame): the row for one code address, that is, how each register of the caller is found.
 *
 *   .eh_frame_hdr: sorted (function start → FDE) ──► FDE ──► CIE
 *                                                     └── program of DW_CFA_ instructions, run up to the address
 *
 * Invariants
 *  F1  Nothing outside the module's segment that holds the tables is read, whatever they say.
 *  F2  What is not understood is an error, never a guess.
 * No lock, no allocation, about 1.5 KB of stack.
 */
#ifndef BMM_STACK_CFI_H
#define BMM_STACK_CFI_H

#include "module.h"
#include "stack_arch.h"
#include "stack_bytes.h"

enum bmm__cfi_how {
    BMM__CFI_UNSAID = 0, /* as it is: same value, for the stack pointer the CFA */
    BMM__CFI_SAME,
    BMM__CFI_UNDEFINED,
    BMM__CFI_OFFSET,       /* saved at CFA + value */
    BMM__CFI_VALUE_OFFSET, /* is CFA + value */
    BMM__CFI_REGISTER,     /* in register value */
    BMM__CFI_EXPRESSION,   /* saved at the address that the expression at value yields */
    BMM__CFI_VALUE_EXPRESSION
};

/* An expression is stored as the address of its length (uleb128), its bytes behind it. */
struct bmm__cfi_row {
    int64_t value[BMM__ARCH_REGISTERS];
    uint8_t how[BMM__ARCH_REGISTERS]; /* enum bmm__cfi_how */
    bool is_cfa_expression;
    bool is_signal_frame;  /* augmentation S: the address was interrupted, not called from */
    uint32_t cfa_register; /* DWARF number; of no meaning for an expression */
    int64_t cfa_value;     /* offset, or address of the expression */
};

enum bmm__cfi_result { BMM__CFI_FOUND, BMM__CFI_NO_TABLE /* nothing is said about this address */, BMM__CFI_BAD };

enum bmm__cfi_result bmm__cfi_row_at(const struct bmm__module *module, uintptr_t pc, struct bmm__cfi_row *row);

/* The bytes of an expression stored as said above; empty if its length cannot be. */
struct bmm__bytes bmm__cfi_expression(const struct bmm__module *module, int64_t stored);

#endif
