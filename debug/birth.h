/* Blocks come to be: a slot of the core becomes a block with a record, guards and fill.
 *
 * leak:   │ block ………………… │             the slot as in production
 * check:  │ front │ block │ tail │      front = alignment; tail: to the slot's end, at least 16 bytes
 *
 * The functions whose names end in _as are for callers that know the mode, and are inline for them.
 *
 * Invariants
 *  A1  A block is live (its record says so, release) only when guards and fill are laid; a record that was live is
 *      claimed before they change.
 *  A2  A process that is not settled writes no stack and no mirror; its blocks are recorded privately all the same.
 */
#ifndef BMM_BIRTH_H
#define BMM_BIRTH_H

#include "block.h"
#include "caller.h"
#include "check.h"
#include "guard.h"
#include "poison.h"

#include <stdbool.h>
#include <stddef.h>

#define BMM__BIRTH_INLINE static inline __attribute__((always_inline))

/* Bytes to ask the core for; less than size: more than there can be. */
size_t bmm__birth_slot_bytes(size_t size, size_t align);

/* The slot at slot_start with its side, made if the process can. False: none to be had. */
bool bmm__birth_find(void *slot_start, struct bmm__block *block, bool is_settled);

/* The block in a slot that the core has just handed out, or that is claimed. fill_from: the first byte of the block
 * that is new to the program (size: none). */
void *bmm__birth_in(struct bmm__block *block, size_t size, size_t align, unsigned kind, size_t fill_from,
                    const struct bmm__caller *caller);

/* A new block. NULL: out of memory. */
void *bmm__birth_make(size_t size, size_t align, bool is_zeroed, unsigned kind, const struct bmm__caller *caller);

/* The same as a run, for a use that is not BMM__USE_ANY. */
void *bmm__birth_make_run(size_t size, size_t align, enum bmm__use use, unsigned kind,
                          const struct bmm__caller *caller);

/* The same of a heap that the program made. */
void *bmm__birth_make_in(struct bmm_heap *object, size_t size, size_t align, bool is_zeroed, unsigned kind,
                         const struct bmm__caller *caller);

/* The allocation's number among those of threads without a state, all together. */
uint32_t bmm__birth_late_count(void);

/* Written as words: the block may be freed soon, and then they are read as words (record.h). */
BMM__BIRTH_INLINE void *bmm__birth_in_as(enum bmm_mode mode, struct bmm__block *block, size_t size, size_t align,
                                         unsigned kind, size_t fill_from, const struct bmm__caller *caller)
{
    struct bmm__record *record = block->record;
    struct bmm__thread *thread = caller->thread;
    uint64_t index = BMM__THREAD_INDEX_SHARED, count;
    if (BMM__LIKELY(thread != NULL)) {
        index = thread->index;
        count = thread->alloc_count;
        bmm__store_relaxed(&thread->alloc_count, (uint32_t)count + 1);
    } else {
        count = bmm__birth_late_count();
    }
    BMM_ASSERT((uint64_t)size >> BMM__RECORD_THREAD_SHIFT == 0); /* its slot has found a place in the address space */
    uint64_t size_and_thread = size | index << BMM__RECORD_THREAD_SHIFT;
    uint64_t birth = count | BMM__RECORD_BIRTH(kind, __builtin_ctzl(align), mode);
    record->words[0] = caller->stack;
    record->words[1] = size_and_thread;
    block->start = block->slot.start;
    if (mode == BMM_MODE_CHECK) {
        record->words[2] = birth | BMM__RECORD_STATE(record->state);
        block->start += align;
        bmm__check_lay_guards(block);
        if (bmm__options.fills && fill_from < size)
            bmm__poison_fill(block->start + fill_from, size - fill_from);
    }
    if (caller->is_settled) /* then the side was made or found for this epoch */
        bmm__record_mirror_now(block->side, block->slot.index, caller->stack, size_and_thread, birth, BMM_SLOT_LIVE);
    bmm__store_release(&record->words[2], birth | BMM__RECORD_STATE(BMM_SLOT_LIVE)); /* A1 */
    return (void *)block->start;
}

BMM__BIRTH_INLINE bool bmm__birth_find_record(struct bmm__block *block, bool is_settled)
{
    block->side = is_settled ? bmm__side_make(&block->slot) : block->slot.side;
    if (BMM__UNLIKELY(block->side == NULL))
        return false;
    block->record = &block->side->records[block->slot.index];
    return true;
}

BMM__BIRTH_INLINE void bmm__birth_fetch_record(const struct bmm__block *block)
{
    __builtin_prefetch(&block->record->words[2], 1);
    if (BMM__LIKELY(block->side->mirrors != NULL))
        __builtin_prefetch(&block->side->mirrors[block->slot.index], 1);
}

/* A slot without a record: what bmm__birth_make returns then. */
void *bmm__birth_unrecorded(const struct bmm__block *block, bool is_settled);

/* bytes: of the slot. */
BMM__BIRTH_INLINE void *bmm__birth_make_as(enum bmm_mode mode, size_t bytes, size_t size, size_t align, bool is_zeroed,
                                           unsigned kind, const struct bmm__caller *caller)
{
    struct bmm__block block;
    if (BMM__UNLIKELY(!bmm__core_alloc_slot(bytes, align, is_zeroed, &block.slot)))
        return NULL;
    if (BMM__UNLIKELY(!bmm__birth_find_record(&block, caller->is_settled)))
        return bmm__birth_unrecorded(&block, caller->is_settled);
    return bmm__birth_in_as(mode, &block, size, align, kind, is_zeroed ? size : 0, caller);
}

#endif
