/* The list of a span's free slots, and with it what malloc and free see of a span: its own, or, while the heap allocates from
 * it, one in the heap (heap.h, H1), so that malloc has one load less.
 *
 *   plain:   free ─► slot ─► slot ─► slot                    each free slot holds the address of the next
 *   secure:  free ─► number ─► number ─► number              and that is written in a table outside the span
 */
#ifndef BMM_LIST_H
#define BMM_LIST_H

#include <stdint.h>

struct bmm__slot_link;

struct bmm__list {
#ifdef BMM_SECURE /* secure.h */
    int64_t free; /* as a link; of the owner alone */
#else
    struct bmm__slot_link *free; /* of the owner alone */
#endif
    uint32_t countdown; /* local frees until something must happen */
    uint32_t slot_bytes;
#ifdef BMM_SECURE     /* constant while the span is open; beside what malloc needs, not in the next line */
    uint16_t *links;  /* of its slots, by number */
    uintptr_t before; /* where a slot before the first one would be: the one with the number 0 */
    uint64_t inverse; /* as in the span */
#endif
    uintptr_t owner; /* the heap's token: decides "mine or not" */
};

#endif
