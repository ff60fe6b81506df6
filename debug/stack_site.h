/* Code addresses in 31 bits, as the depot's runs hold them: the number of a mebibyte of code, and the place in it.
 *
 *    pc  ┌ epoch, 16 ┬ 28 bits ┬ 20 bits ┐        site ┌ number, 11 ┬ 20 bits ┐
 *        └───────────┴─────────┴─────────┘  ─────►     └────────────┴─────────┘
 *              the mebibyte ──► its number: BMM_CHUNK_CODE of the snapshot, number → mebibyte
 *
 * Mebibyte 0 is number 0: there the pseudo-addresses are. A program has some dozens; one that loads and unloads libraries for ever
 * would in the end have more than there are numbers: the last ones are given without the epoch, so that the report takes the
 * latest module at the address.
 *
 * Invariants
 *  S1  A number is complete before it can be found (release), and never changes (acquire by who finds it).
 *  S2  A mebibyte has one number; one may be lost in a forked child, where another thread was about to give it.
 */
#ifndef BMM_STACK_SITE_H
#define BMM_STACK_SITE_H

#include <stdint.h>

/* 0: there are no numbers left. */
uint32_t bmm__site_of(uintptr_t pc);
/* Of a site that bmm__site_of gave. */
uintptr_t bmm__site_pc(uint32_t site);
void bmm__site_fork_child(void);

#endif
