/* Rows for code that has no unwind tables (FreePascal, hand-written assembly), read from the code itself: from a return
 * address on, the instructions are followed to where the function returns, and what they do to the stack pointer on the way
 * says where the frame ends. It is what the function will do, so it is right as long as the code keeps to the ABI.
 *
 *   call …           ◄── pc                              sp            the row of pc: CFA = sp + 32, rbx at CFA - 16
 *   jne ─────────┐                                       sp
 *   call error   │   (a path of its own: followed, too)
 *   lea 16(%rsp) ◄┘                                      sp + 16
 *   pop %rbx                                             sp + 24
 *   ret                                                  sp + 32
 *
 * Invariants
 *  O1  A row is a function of the code address alone (K1 of stack_rules.h).
 *  O2  Only behind a call instruction: no other address can be returned to.
 *  O3  Paths that end must agree, as far as they are looked at; else nothing is said. Nothing is guessed.
 *  O4  Only bytes of the module that can be read are read.
 *  O5  A path that comes to what only functions begin with is in another function: it is not followed.
 * Not seen: which calls do not return. Behind one the next function may stand, hence O3 and O5.
 * A call that hlt follows was made by what starts a program: the frame is the outermost (its return address is UNDEFINED).
 * No lock, no allocation, about 2 KB of stack. x86-64; on other machines nothing is found.
 */
#ifndef BMM_STACK_CODE_H
#define BMM_STACK_CODE_H

#include "module.h"
#include "stack_cfi.h"

/* address: of the call, as in bmm__rule_find, that is, one byte before where it returns to. FOUND or NO_TABLE. */
enum bmm__cfi_result bmm__code_row_at(const struct bmm__module *module, uintptr_t address, struct bmm__cfi_row *row);

#endif
