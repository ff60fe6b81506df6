/* See check.h. Knows where guards and poison lie; their bytes are guard.c's and poison.c's business. */
#include "check.h"

#include "block.h"
#include "error.h"
#include "guard.h"
#include "options.h"
#include "poison.h"

#include "core/assert.h"

struct guards {
    uintptr_t front_start, front_end, tail_start, tail_end;
};

static struct guards guards_of(const struct bmm__block *block)
{
    uintptr_t slot_end = block->slot.start + block->slot.bytes;
    struct guards g = { .front_start = block->slot.start, .front_end = block->start };
    g.tail_start = block->start + bmm__block_size(block);
    g.tail_end = slot_end;
    if (g.front_end - g.front_start > BMM__GUARD_BYTES_MAX)
        g.front_start = g.front_end - BMM__GUARD_BYTES_MAX;
    if (g.tail_end - g.tail_start > BMM__GUARD_BYTES_MAX)
        g.tail_end = g.tail_start + BMM__GUARD_BYTES_MAX;
    return g;
}

void bmm__check_lay_guards(const struct bmm__block *block)
{
    struct guards g = guards_of(block);
    bmm__guard_lay(g.front_start, g.front_end);
    bmm__guard_lay(g.tail_start, g.tail_end);
}

static void report_guard(const struct bmm__block *block, enum bmm_error_kind kind, uintptr_t start, uintptr_t end,
                         enum bmm_error_moment moment, uint32_t detected_stack, unsigned free_kind)
{
    struct bmm_snapshot_error error = bmm__error_about(block, kind, moment);
    error.detected_stack = detected_stack;
    error.free_kind = free_kind;
    uint32_t listed = 0;
    error.changed_count = bmm__guard_changes(start, end, block->start, error.changed, &listed);
    bmm__guard_lay(start, end); /* V2 */
    bmm__error_report(&error);
}

bool bmm__check_live(const struct bmm__block *block, enum bmm_error_moment moment, uint32_t detected_stack,
                     unsigned free_kind)
{
    if (block->record->mode != BMM_MODE_CHECK)
        return true;
    struct guards g = guards_of(block);
    bool front = bmm__guard_is_intact(g.front_start, g.front_end);
    bool tail = bmm__guard_is_intact(g.tail_start, g.tail_end);
    if (BMM__LIKELY(front && tail))
        return true;
    if (!front)
        report_guard(block, BMM_ERROR_HEAP_UNDERFLOW, g.front_start, g.front_end, moment, detected_stack, free_kind);
    if (!tail)
        report_guard(block, BMM_ERROR_HEAP_OVERFLOW, g.tail_start, g.tail_end, moment, detected_stack, free_kind);
    return false;
}

bool bmm__check_freed(const struct bmm__block *block, enum bmm_error_moment moment)
{
    if (block->record->mode != BMM_MODE_CHECK)
        return true;
    struct guards g = guards_of(block);
    size_t size = bmm__block_size(block);
    bool poison = !bmm__options.fills || bmm__poison_is_intact(block->start, size);
    if (BMM__LIKELY(poison && bmm__guard_is_intact(g.front_start, g.front_end) &&
                    bmm__guard_is_intact(g.tail_start, g.tail_end)))
        return true;
    struct bmm_snapshot_error error = bmm__error_about(block, BMM_ERROR_WRITE_AFTER_FREE, moment);
    uint32_t listed = 0;
    uint32_t count = bmm__guard_changes(g.front_start, g.front_end, block->start, error.changed, &listed);
    if (!poison)
        count += bmm__poison_changes(block->start, size, error.changed, &listed);
    count += bmm__guard_changes(g.tail_start, g.tail_end, block->start, error.changed, &listed);
    error.changed_count = count;
    if (bmm__options.fills)
        bmm__poison_lay(block->start, size);
    bmm__check_lay_guards(block); /* V2 */
    bmm__error_report(&error);
    return false;
}

/* ---- all of them ---- */

struct walk {
    enum bmm_error_moment moment;
    size_t damaged_count, skipped_count;
    unsigned naps; /* that are left */
};

/* The side may be recycled by now for another span: only a claim and the way back from the address prove that this
 * record is that slot's (V1). */
static void check_slot(struct bmm__side *side, uint32_t index, uintptr_t address, uint8_t state, struct walk *walk)
{
    struct bmm__block block = { .side = side, .record = &side->records[index] };
    if (!bmm__record_claim(block.record, state))
        return;
    if (bmm__core_find(address, &block.slot) && !block.slot.is_free_run && block.slot.index == index &&
        bmm__side_of(block.slot.span) == side) {
        block.start = block.slot.start + bmm__block_front(block.record);
        bool is_intact = state == BMM_SLOT_LIVE ? bmm__check_live(&block, walk->moment, 0, 0)
                                                : bmm__check_freed(&block, walk->moment);
        if (!is_intact)
            walk->damaged_count++;
    }
    bmm__store_release(&block.record->state, state);
}

static void check_span(struct bmm__span *span, void *side_pointer, void *context)
{
    struct bmm__side *side = side_pointer;
    struct walk *walk = context;
    struct bmm__span_view view = bmm__core_span_view(span);
    for (uint32_t i = 0; i < side->slot_count && i < view.slot_count; i++) {
        uint8_t state = bmm__record_state_within(&side->records[i], &walk->naps);
        walk->skipped_count += state == bmm__record_busy();
        if ((state == BMM_SLOT_LIVE || state == BMM_SLOT_QUARANTINED) && side->records[i].mode == BMM_MODE_CHECK)
            check_slot(side, i, view.start + i * view.slot_bytes, state, walk);
    }
}

size_t bmm__check_all(enum bmm_error_moment moment, size_t *skipped)
{
    struct walk walk = { .moment = moment, .naps = BMM__RECORD_WALK_NAPS };
    if (bmm__options.mode ==
        BMM_MODE_CHECK) /* else no block was born under it, and records that were never used are not read */
        bmm__core_walk(check_span, &walk);
    if (skipped != NULL)
        *skipped = walk.skipped_count;
    return walk.damaged_count;
}
