/* See birth.h. */
#include "birth.h"

#include "check.h"
#include "guard.h"
#include "poison.h"

static uint32_t late_alloc_count; /* of all threads without a state together */

size_t bmm__birth_slot_bytes(size_t size, size_t align)
{
    if (bmm__options.mode != BMM_MODE_CHECK)
        return size;
    size_t around = align + BMM__GUARD_BYTES_MIN;
    return size > PTRDIFF_MAX - around || align > PTRDIFF_MAX / 4 ? 0 : size + around;
}

static void write_record(struct bmm__record *record, size_t size, size_t align, unsigned kind,
                         const struct bmm__caller *caller)
{
    struct bmm__thread *thread = caller->thread;
    record->alloc_stack = caller->stack;
    record->free_stack = 0;
    bmm__record_set_size(record, size);
    record->free_thread = 0;
    if (BMM__LIKELY(thread != NULL)) {
        record->time_ms = bmm__thread_clock(thread);
        record->count = thread->alloc_count;
        bmm__store_relaxed(&thread->alloc_count, thread->alloc_count + 1);
        record->thread = thread->index;
    } else {
        record->time_ms = bmm__thread_clock_now();
        record->count = bmm__add_relaxed(&late_alloc_count, 1u);
        record->thread = BMM__THREAD_INDEX_SHARED;
    }
    record->kind = (uint8_t)kind;
    record->align_log2 = (uint8_t)__builtin_ctzl(align);
    record->mode = (uint8_t)bmm__options.mode;
}

static inline __attribute__((always_inline)) void *birth_in(struct bmm__block *block, size_t size, size_t align,
                                                            unsigned kind, size_t fill_from,
                                                            const struct bmm__caller *caller)
{
    struct bmm__record *record = block->record;
    write_record(record, size, align, kind, caller);
    block->start = block->slot.start + bmm__block_front(record);
    if (record->mode == BMM_MODE_CHECK) {
        bmm__check_lay_guards(block);
        if (bmm__options.fills && fill_from < size)
            bmm__poison_fill(block->start + fill_from, size - fill_from);
    }
    if (caller->is_settled)
        bmm__record_mirror(block->side, block->slot.index, BMM_SLOT_LIVE);
    bmm__store_release(&record->state, (uint8_t)BMM_SLOT_LIVE); /* A1 */
    return (void *)block->start;
}

void *bmm__birth_in(struct bmm__block *block, size_t size, size_t align, unsigned kind, size_t fill_from,
                    const struct bmm__caller *caller)
{
    return birth_in(block, size, align, kind, fill_from, caller);
}

static inline __attribute__((always_inline)) bool find_record(struct bmm__block *block, bool is_settled)
{
    block->side = is_settled ? bmm__side_make(block->slot.span) : bmm__side_of(block->slot.span);
    if (BMM__UNLIKELY(block->side == NULL))
        return false;
    block->record = &block->side->records[block->slot.index];
    return true;
}

bool bmm__birth_find(void *slot_start, struct bmm__block *block, bool is_settled)
{
    return bmm__core_find((uintptr_t)slot_start, &block->slot) && find_record(block, is_settled);
}

void *bmm__birth_make(size_t size, size_t align, bool is_zeroed, unsigned kind, const struct bmm__caller *caller)
{
    if (align < 16)
        align = 16;
    size_t bytes = bmm__birth_slot_bytes(size, align);
    if (BMM__UNLIKELY(bytes < size))
        return NULL;
    struct bmm__block block;
    if (BMM__UNLIKELY(!bmm__core_alloc_slot(bytes, align, is_zeroed, &block.slot)))
        return NULL;
    if (BMM__UNLIKELY(!find_record(&block, caller->is_settled))) {
        if (!caller->is_settled)
            return (void *)block.slot.start; /* UNRECORDED: a handler that interrupted the settling (P2) */
        bmm__core_free_slot(&block.slot);
        return NULL;
    }
    return birth_in(&block, size, align, kind, is_zeroed ? size : 0, caller);
}
