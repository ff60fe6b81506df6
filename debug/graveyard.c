/* See graveyard.h. */
#include "graveyard.h"

#include "block.h"

#define GRAVES 128u

static struct {
    uintptr_t address; /* of the block; release after record, acquire before (G1) */
    struct bmm__record record;
} graves[GRAVES];
static uint32_t burial_count;

void bmm__graveyard_bury(uintptr_t slot_start, const struct bmm__record *record)
{
    if (bmm__load_acquire(&record->state) != BMM_SLOT_FREE)
        return;
    uint32_t i = bmm__add_relaxed(&burial_count, 1) % GRAVES;
    bmm__exchange_acq_rel(&graves[i].address, 0);
    graves[i].record = *record;
    bmm__store_release(&graves[i].address, slot_start + bmm__block_front(record));
}

bool bmm__graveyard_find(uintptr_t address, struct bmm__record *record)
{
    uint32_t newest = bmm__load_relaxed(&burial_count);
    for (uint32_t n = 1; n <= GRAVES; n++) {
        uint32_t i = (newest - n) % GRAVES;
        if (address == 0 || bmm__load_acquire(&graves[i].address) != address)
            continue;
        *record = graves[i].record;
        if (bmm__load_acquire(&graves[i].address) == address)
            return true;
    }
    return false;
}
