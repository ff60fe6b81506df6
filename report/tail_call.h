/* Calls that leave no frame: the last thing a function does is often a jump, and then a stack does not show it.
 *
 *   main: call set_up          set_up: … jmp setenv@plt          stack: setenv's inner function, main
 *
 * The code of set_up says where it can have gone. Only an answer without a doubt is one: all its jumps out of itself
 * that lead through a slot lead to the same name, and it has no jump to an address in a register.
 */
#ifndef BMM_REPORT_TAIL_CALL_H
#define BMM_REPORT_TAIL_CALL_H

#include "report/dynamic.h"

#include <gelf.h>

/* Takes the starts of functions from the section, if it is the one that has them (.eh_frame_hdr). */
void bmm__tail_starts(struct bmm__dynamic *dynamic, Elf_Scn *section, const GElf_Shdr *header);

/* The function elsewhere that the one at start ends in by a jump; NULL: none, or it is not certain. */
const char *bmm__tail_callee(struct bmm__dynamic *dynamic, uint64_t start);

#endif
