/* See quarantine.h. Knows slots by their start only; what poison is and how a slot is verified and given back is
 * bmm__block_retire's business. */
#include "quarantine.h"

#include "block.h"
#include "options.h"
#include "thread.h"

#include "core/atomic.h"
#include "core/os.h"

#define RING_BYTES ((BMM__QUARANTINE_SLOTS * sizeof(uintptr_t) + BMM__GRANULE - 1) / BMM__GRANULE * BMM__GRANULE)
#define FULL_SHARE_THREADS 16u
#define STAYING_PART 16u

/* The option per thread, but not more than 16 times the option for all of them together. */
static size_t limit_bytes(void)
{
    uint32_t threads = bmm__thread_live_count();
    size_t bytes = bmm__options.quarantine_bytes;
    return threads <= FULL_SHARE_THREADS ? bytes : bytes * FULL_SHARE_THREADS / threads;
}

static void give_back_oldest(struct bmm__quarantine *quarantine)
{
    uintptr_t slot_start = quarantine->ring[quarantine->first];
    quarantine->first = (quarantine->first + 1) % BMM__QUARANTINE_SLOTS;
    quarantine->count--;
    quarantine->bytes -= bmm__block_retire(slot_start);
}

bool bmm__quarantine_keep(struct bmm__quarantine *quarantine, uintptr_t slot_start, size_t slot_bytes)
{
    size_t limit = limit_bytes();
    if (quarantine->is_busy || slot_bytes > limit / 4)
        return false;
    if (quarantine->ring == NULL) {
        quarantine->ring = bmm__os_map(RING_BYTES, bmm__os_page_bytes());
        if (quarantine->ring == NULL)
            return false;
    }
    quarantine->is_busy = true;
    bmm__signal_fence(); /* Q3: a handler on this thread sees is_busy before any half state */
    while (quarantine->count == BMM__QUARANTINE_SLOTS ||
           (quarantine->count != 0 && quarantine->bytes + slot_bytes > limit))
        give_back_oldest(quarantine);
    quarantine->ring[(quarantine->first + quarantine->count) % BMM__QUARANTINE_SLOTS] = slot_start;
    quarantine->count++;
    quarantine->bytes += slot_bytes;
    bmm__signal_fence();
    quarantine->is_busy = false;
    return true;
}

void bmm__quarantine_thin(struct bmm__quarantine *quarantine)
{
    quarantine->is_busy = true;
    while (quarantine->bytes > bmm__options.quarantine_bytes / STAYING_PART)
        give_back_oldest(quarantine);
    quarantine->is_busy = false;
}
