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

#include "brainmm/snapshot.h"

#include "core/assert.h"
#include "core/atomic.h"

#include <stdint.h>

#define BMM__SITE_SLOT_BITS 13

/* S1; of number 0: 0. */
extern uint64_t bmm__site_mebibytes[BMM_SITE_NUMBERS] BMM__HIDDEN;
/* Hash → number; release after the number is complete. */
extern uint16_t bmm__site_slots[1u << BMM__SITE_SLOT_BITS] BMM__HIDDEN;

/* bmm__site_of where the mebibyte's first slot has another one, or none. */
uint32_t bmm__site_of_slowly(uintptr_t pc);

static inline uint32_t bmm__site_slot(uint64_t mebibyte)
{
    return (uint32_t)((mebibyte * 0x9e3779b97f4a7c15u) >> (64 - BMM__SITE_SLOT_BITS));
}

/* 0: there are no numbers left. */
static inline uint32_t bmm__site_of(uintptr_t pc)
{
    uint64_t mebibyte = (uint64_t)pc >> BMM_SITE_BITS;
    uint32_t number = bmm__load_acquire(&bmm__site_slots[bmm__site_slot(mebibyte)]);
    if (BMM__UNLIKELY(bmm__site_mebibytes[number] != mebibyte))
        return bmm__site_of_slowly(pc);
    return number << BMM_SITE_BITS | ((uint32_t)pc & ((1u << BMM_SITE_BITS) - 1));
}

/* Of a site that bmm__site_of gave. */
uintptr_t bmm__site_pc(uint32_t site);
void bmm__site_fork_child(void);

#endif
