/* See type.h. */
#include "type.h"

#include "block.h"
#include "module.h"
#include "recorder.h"
#include "stack_arch.h"

#include "core/os.h"

#include <string.h>

#define ENTRIES 8192u /* of 40 bytes; more classes at more places than that are not told apart */

struct counting {
    unsigned naps;                     /* that are left */
    struct bmm_snapshot_type *entries; /* NULL: none yet */
    struct bmm_snapshot_chunk *chunk;
    uint32_t count;
    uintptr_t page; /* that can be read */
};

static void count(struct counting *counting, uint64_t word, const struct bmm__block *block, bool is_expected)
{
    uint32_t stack = block->record->alloc_stack, kind = block->record->kind;
    if (counting->entries == NULL)
        counting->entries =
            bmm__recorder_chunk(BMM_CHUNK_TYPES, ENTRIES * sizeof *counting->entries, 0, &counting->chunk);
    if (counting->entries == NULL)
        return;
    uint64_t hash = (word ^ (uint64_t)stack << 20 ^ 2 * kind ^ is_expected) * 0x9e3779b97f4a7c15u;
    for (uint32_t i = (uint32_t)(hash >> 32) % ENTRIES;; i = (i + 1) % ENTRIES) {
        struct bmm_snapshot_type *entry = &counting->entries[i];
        if (entry->blocks == 0) {
            if (counting->count == ENTRIES - 1) /* one stays free, so that looking ends */
                return;
            counting->count++;
            *entry =
                (struct bmm_snapshot_type){ .word = word, .stack = stack, .kind = kind, .is_expected = is_expected };
        } else if (entry->word != word || entry->stack != stack || entry->kind != kind ||
                   entry->is_expected != is_expected) {
            continue;
        }
        entry->blocks++;
        entry->bytes += bmm__block_size(block);
        return;
    }
}

/* Whoever protects a page may do so until the end. */
static bool can_read(struct counting *counting, uintptr_t address)
{
    uintptr_t page = address & ~(uintptr_t)(bmm__os_page_bytes() - 1);
    if (page != counting->page && !bmm__os_can_read((const void *)address, sizeof(uint64_t)))
        return false;
    counting->page = page;
    return true;
}

static void look_at(struct counting *counting, const struct bmm__block *block, bool is_expected)
{
    struct bmm__module module;
    bool is_certain;
    uint64_t word;
    if (bmm__block_size(block) < sizeof word || !can_read(counting, block->start))
        return;
    memcpy(&word, (const void *)block->start, sizeof word);
    if (word % 8 == 0 && word >> BMM__ARCH_CODE_BITS == 0 && word >= 4096 &&
        bmm__module_find((uintptr_t)word, &module, &is_certain) && is_certain)
        count(counting, word | (uint64_t)module.epoch << 48, block, is_expected);
}

/* Only what the snapshot says is live, too: a forked child leaves its parent's blocks to the parent. */
static bool is_mirrored(const struct bmm__side *side, uint32_t index, bool *is_expected)
{
    if (!bmm__record_may_mirror(side) || side->mirrors == NULL)
        return false;
    uint32_t state = BMM_MIRROR_STATE(bmm__load_relaxed(&side->mirrors[index].detail));
    *is_expected = state == BMM_SLOT_EXPECTED;
    return state == BMM_SLOT_LIVE || *is_expected;
}

/* As in check.c: the record is claimed, so nobody frees the block, and found again from its address. */
static void visit_slot(struct counting *counting, struct bmm__side *side, uint32_t index, uintptr_t address,
                       bool is_expected)
{
    struct bmm__block block = { .side = side, .record = &side->records[index] };
    if (!bmm__record_claim(block.record, BMM_SLOT_LIVE))
        return;
    if (bmm__core_find(address, &block.slot) && !block.slot.is_free_run && block.slot.index == index &&
        bmm__side_of(block.slot.span) == side) {
        block.start = block.slot.start + bmm__block_front(block.record);
        look_at(counting, &block, is_expected);
    }
    bmm__store_release(&block.record->state, (uint8_t)BMM_SLOT_LIVE);
}

static void visit_span(struct bmm__span *span, void *side_pointer, void *context)
{
    struct bmm__side *side = side_pointer;
    struct counting *counting = context;
    struct bmm__span_view view = bmm__core_span_view(span);
    bool is_expected;
    for (uint32_t i = 0; i < side->slot_count && i < view.slot_count; i++)
        if (bmm__record_state_within(&side->records[i], &counting->naps) == BMM_SLOT_LIVE &&
            is_mirrored(side, i, &is_expected))
            visit_slot(counting, side, i, view.start + i * view.slot_bytes, is_expected);
}

void bmm__type_count_all(void)
{
    struct counting counting = { .naps = BMM__RECORD_WALK_NAPS };
    bmm__core_walk(visit_span, &counting);
    if (counting.entries != NULL)
        bmm__store_release(&counting.chunk->used, (uint64_t)(ENTRIES * sizeof *counting.entries));
}
