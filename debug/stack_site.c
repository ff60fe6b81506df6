/* See stack_site.h. Numbers are given under a lock, found without. */
#include "stack_site.h"

#include "recorder.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/lock.h"
#include "core/os.h"

#define NUMBERS (BMM_SITE_NUMBERS)
#define NUMBERS_WITH_EPOCH (NUMBERS - 512)
#define SLOTS (1u << BMM__SITE_SLOT_BITS)
#define ADDRESS_MASK ((UINT64_C(1) << (48 - BMM_SITE_BITS)) - 1)
#define EPOCH_UNKNOWN (UINT64_C(0xffff) << (48 - BMM_SITE_BITS))

uint64_t bmm__site_mebibytes[NUMBERS];
uint16_t bmm__site_slots[SLOTS];
static uint32_t count = 1; /* changed under lock, release after the number is complete */
static uint64_t *written;  /* the chunk; NULL: not made yet */
BMM__LOCK(lock, BMM__RANK_MODULES);

/* The mebibyte's slot, or the first free one where it would be. Never full: there are four times as many as numbers. */
static uint16_t *slot_of(uint64_t mebibyte)
{
    for (uint32_t i = bmm__site_slot(mebibyte);; i = (i + 1) & (SLOTS - 1)) {
        uint16_t number = bmm__load_acquire(&bmm__site_slots[i]);
        if (number == 0 || bmm__site_mebibytes[number] == mebibyte)
            return &bmm__site_slots[i];
    }
}

/* 0: none left. */
static uint32_t give_number(uint64_t mebibyte, uint32_t limit)
{
    uint16_t *slot = slot_of(mebibyte);
    if (*slot != 0 || count >= limit)
        return *slot;
    if (written == NULL)
        written = bmm__recorder_chunk(BMM_CHUNK_CODE, NUMBERS * sizeof *written, 0, NULL);
    if (written == NULL)
        return 0;
    bmm__site_mebibytes[count] = mebibyte;
    written[count] = mebibyte << BMM_SITE_BITS;
    bmm__store_release(slot, (uint16_t)count);
    bmm__store_release(&count, count + 1);
    return count - 1;
}

/* A signal handler that nested this in itself would find none. */
static __attribute__((noinline, cold)) uint32_t new_number(uint64_t mebibyte)
{
    uint64_t without_epoch = (mebibyte & ADDRESS_MASK) | EPOCH_UNKNOWN;
    uint32_t known = bmm__load_acquire(&count);
    if (known >= NUMBERS_WITH_EPOCH &&
        ((known = bmm__load_acquire(slot_of(without_epoch))) != 0 || bmm__load_acquire(&count) == NUMBERS))
        return known;
    if (bmm__lock_is_mine(&lock))
        return 0;
    uint64_t mask = bmm__os_block_signals();
    bmm__lock_take(&lock);
    uint32_t number = give_number(mebibyte, NUMBERS_WITH_EPOCH);
    if (number == 0)
        number = give_number(without_epoch, NUMBERS);
    bmm__lock_release(&lock);
    bmm__os_restore_signals(mask);
    return number;
}

uint32_t bmm__site_of_slowly(uintptr_t pc)
{
    uint64_t mebibyte = (uint64_t)pc >> BMM_SITE_BITS;
    uint32_t place = (uint32_t)pc & ((1u << BMM_SITE_BITS) - 1);
    if (mebibyte == 0)
        return place;
    uint32_t number = bmm__load_acquire(slot_of(mebibyte));
    if (number == 0 && (number = new_number(mebibyte)) == 0)
        return 0;
    return number << BMM_SITE_BITS | place;
}

uintptr_t bmm__site_pc(uint32_t site)
{
    return (uintptr_t)(bmm__site_mebibytes[site >> BMM_SITE_BITS] << BMM_SITE_BITS |
                       (site & ((1u << BMM_SITE_BITS) - 1)));
}

void bmm__site_fork_child(void)
{
    bmm__lock_reset(&lock); /* after a raw clone no fork handler made it new */
}
