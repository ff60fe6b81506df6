/* See block.h. */
#include "block.h"

#include "check.h"
#include "graveyard.h"
#include "options.h"
#include "process.h"

static enum bmm__block_is look_among_gone(uintptr_t address, struct bmm__block *block)
{
    *block = (struct bmm__block){ 0 };
    if (!bmm__graveyard_find(address, &block->gone))
        return BMM__BLOCK_FOREIGN;
    block->record = &block->gone;
    block->start = address;
    return BMM__BLOCK_GONE;
}

static inline __attribute__((always_inline)) enum bmm__block_is find(uintptr_t address, struct bmm__block *block)
{
    if (!bmm__core_find(address, &block->slot))
        return look_among_gone(address, block);
    block->side = block->slot.side;
    if (block->side == NULL)
        return block->slot.is_free_run ? look_among_gone(address, block) : BMM__BLOCK_UNRECORDED;
    block->record = &block->side->records[block->slot.index];
    uint8_t state = bmm__record_settled_state(block->record);
    if (state == BMM_SLOT_NEVER)
        return look_among_gone(address, block);
    block->start = block->slot.start + bmm__block_front(block->record);
    if (block->slot.is_free_run && state == BMM_SLOT_LIVE)
        return look_among_gone(address, block); /* cannot be; and must not be believed if it is */
    if (address != block->start)
        return BMM__BLOCK_INTERIOR;
    if (state == bmm__record_busy())
        return BMM__BLOCK_BUSY;
    /* An orphan may be claimed: the child has no other thread that could be at work on it, and what a vanished one did
     * to a block that the program still uses was to look at its guards. */
    return state == BMM_SLOT_LIVE || bmm__record_is_orphan(state) ? BMM__BLOCK_LIVE : BMM__BLOCK_FREED;
}

enum bmm__block_is bmm__block_find(uintptr_t address, struct bmm__block *block)
{
    return find(address, block);
}

enum bmm__block_is bmm__block_claim(uintptr_t address, struct bmm__block *block)
{
    for (;;) {
        enum bmm__block_is what = find(address, block);
        if (what != BMM__BLOCK_LIVE || bmm__record_claim(block->record, BMM_SLOT_LIVE))
            return what;
        uint8_t state = bmm__load_acquire(&block->record->state);
        if (bmm__record_is_orphan(state) && bmm__record_claim(block->record, state))
            return what;
        /* Another thread was faster; what it made of the block is found in the next round. */
    }
}

void bmm__block_unclaim(struct bmm__block *block)
{
    bmm__store_release(&block->record->state, (uint8_t)BMM_SLOT_LIVE);
}

size_t bmm__block_retire(uintptr_t slot_start)
{
    struct bmm__block block;
    if (!bmm__core_find(slot_start, &block.slot))
        return 0;
    size_t bytes = block.slot.bytes;
    block.side = block.slot.side;
    if (block.side == NULL)
        return bytes;
    block.record = &block.side->records[block.slot.index];
    block.start = slot_start + bmm__block_front(block.record);
    uint8_t state = bmm__record_settled_state(block.record);
    while (state == BMM_SLOT_QUARANTINED && !bmm__record_claim(block.record, BMM_SLOT_QUARANTINED))
        state = bmm__record_settled_state(block.record);
    if (state != BMM_SLOT_QUARANTINED)
        return bytes; /* an orphan, or somebody's for too long; then the slot stays */
    bmm__check_freed(&block, BMM_MOMENT_QUARANTINE);
    bmm__block_give_back(&block, bmm__load_relaxed(&bmm__recorder_process->state) != BMM__RECORDER_UNSETTLED);
    return bytes;
}
