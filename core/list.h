/* The list of a span's free slots, and with it what malloc and free see of a span: its own, or, while the heap allocates from
 * it, one in the heap (heap.h, H1), so that malloc has one load less.
 *
 *   plain:   free ─► slot ─► slot ─► slot                    each free slot holds the address of the next
 *   secure:  bottom ─► │ index │ index │ index │ ◄─ free     a stack outside the span
 */
#ifndef BMM_LIST_H
#define BMM_LIST_H

#include <stdint.h>

struct bmm__slot_link;

struct bmm__list {
#ifdef BMM_SECURE
    uint16_t *free; /* one past the last index; of the owner alone */
#else
    struct bmm__slot_link *free; /* of the owner alone */
#endif
    uint32_t countdown; /* local frees until something must happen */
    uint32_t slot_bytes;
    uintptr_t owner; /* the heap's token: decides "mine or not" */
#ifdef BMM_SECURE    /* constant while the span is open */
    uint16_t *bottom;
    uint8_t *states;  /* of its slots: secure.h */
    uintptr_t start;  /* as in the span */
    uint64_t inverse; /* likewise */
#endif
};

#endif
