/* Batches: slots of a span that another thread freed, on their way to its owner.
 *
 *   remote word ─► a batch, in one of its slots: index + 1 of the next batch's slot (0: none), count, indices of the others
 *
 * A batch names its slots, instead of linking them, so that who takes them over need not wait for one to find the next:
 * each would be a miss in his cache.
 */
#ifndef BMM_BATCH_H
#define BMM_BATCH_H

#include "core/atomic.h"

#include <stdint.h>

struct bmm__slot_link;

struct bmm__batch {
    uint16_t next, count;
    uint16_t others[];
};

#define BMM__BATCH_SLOTS_MAX 24u

/* How many slots besides its own a batch can name. */
static inline uint32_t bmm__batch_room(uint32_t slot_bytes)
{
    uint32_t room = (slot_bytes - (uint32_t)sizeof(struct bmm__batch)) / 2;
    return room < BMM__BATCH_SLOTS_MAX - 1 ? room : BMM__BATCH_SLOTS_MAX - 1;
}

static inline uint16_t *bmm__batch_others(struct bmm__slot_link *slot)
{
    return ((struct bmm__batch *)(void *)slot)->others;
}

/* Of others as many as the caller has written or will write. */
static inline void bmm__batch_write(struct bmm__slot_link *slot, uint32_t next, uint32_t count)
{
    struct bmm__batch *batch = (struct bmm__batch *)(void *)slot;
    bmm__store_relaxed(&batch->next, (uint16_t)next);
    bmm__store_relaxed(&batch->count, (uint16_t)count);
}

/* Returns next. */
static inline uint32_t bmm__batch_read(const struct bmm__slot_link *slot, uint32_t *count)
{
    const struct bmm__batch *batch = (const struct bmm__batch *)(const void *)slot;
    *count = bmm__load_relaxed(&batch->count);
    return bmm__load_relaxed(&batch->next);
}

#endif
