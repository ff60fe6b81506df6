/* See calls.h. */
#include "calls.h"

#include "birth.h"
#include "misuse.h"

#include <errno.h>

void *bmm__call_alloc(size_t size, size_t align, bool is_zeroed, unsigned kind)
{
    int saved_errno = errno;
    struct bmm__caller caller = bmm__caller_of_alloc();
    void *p;
    if (BMM__LIKELY(caller.is_settled && caller.thread != NULL && bmm__options.mode == BMM_MODE_LEAK)) {
        const struct bmm__caller plain = { .thread = caller.thread, .stack = caller.stack, .is_settled = true };
        p = bmm__birth_make_as(BMM_MODE_LEAK, size, size, align, is_zeroed, kind, &plain);
    } else
        p = bmm__birth_make(size, align, is_zeroed, kind, &caller);
    errno = BMM__LIKELY(p != NULL) ? saved_errno : ENOMEM;
    return p;
}

static inline __attribute__((always_inline)) void note_free(struct bmm__record *record,
                                                            const struct bmm__caller *caller)
{
    struct bmm__thread *thread = caller->thread;
    record->free_stack = caller->stack;
    if (BMM__LIKELY(thread != NULL)) {
        bmm__store_relaxed(&thread->free_count, thread->free_count + 1);
        record->free_thread = thread->index;
    }
}

void bmm__call_end(struct bmm__block *block, const struct bmm__caller *caller)
{
    struct bmm__thread *thread = caller->thread;
    struct bmm__record *record = block->record;
    note_free(record, caller);
    if (record->mode == BMM_MODE_CHECK) {
        if (bmm__options.fills)
            bmm__poison_lay(block->start, bmm__block_size(block));
        if (thread != NULL && bmm__options.quarantine_bytes != 0) {
            /* Q1: the state before the ring has it. Mirror first: when the state is out, the slot is not ours. */
            if (caller->is_settled)
                bmm__record_mirror(block->side, block->slot.index, record, BMM_SLOT_QUARANTINED);
            bmm__store_release(&record->state, (uint8_t)BMM_SLOT_QUARANTINED);
            if (bmm__quarantine_keep(&thread->quarantine, block->slot.start, block->slot.bytes))
                return;
            bmm__block_retire(block->slot.start);
            return;
        }
    }
    bmm__block_give_back(block, caller->is_settled);
}

void bmm__call_refuse(uintptr_t address, enum bmm__block_is what, const struct bmm__block *block,
                      enum bmm_error_moment moment, unsigned kind, struct bmm__caller *caller)
{
    if (what == BMM__BLOCK_BUSY)
        return; /* nothing can be said of it */
    bmm__caller_complete_stack(caller);
    bmm__misuse_pointer(address, what, block, moment, kind, caller->stack);
}

void bmm__call_judge_all(struct bmm__block *block, enum bmm_error_moment moment, unsigned kind, size_t given_size,
                         size_t given_align, struct bmm__caller *caller)
{
    unsigned wrong = bmm__misuse_of_kind(block, kind, given_size, given_align);
    if (BMM__UNLIKELY(wrong != 0)) {
        bmm__caller_complete_stack(caller);
        bmm__misuse_kind(block, (enum bmm_error_kind)wrong, moment, kind, given_size, given_align, caller->stack);
    }
    bmm__check_live(block, moment, caller->stack, kind);
}

static __attribute__((noinline)) void free_by(void *p, size_t given_size, size_t given_align, unsigned kind,
                                              struct bmm__caller *caller)
{
    struct bmm__block block;
    enum bmm__block_is what = bmm__block_claim((uintptr_t)p, &block);
    if (BMM__UNLIKELY(what == BMM__BLOCK_UNRECORDED)) {
        bmm__core_free((void *)block.slot.start);
        return;
    }
    if (BMM__UNLIKELY(what != BMM__BLOCK_LIVE)) {
        bmm__call_refuse((uintptr_t)p, what, &block, BMM_MOMENT_FREE, kind, caller);
        return;
    }
    bmm__call_judge(&block, BMM_MOMENT_FREE, kind, given_size, given_align, caller);
    bmm__call_end(&block, caller);
}

void bmm__call_free(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    int saved_errno = errno;
    struct bmm__caller caller = bmm__caller_of_free();
    struct bmm__block block;
    if (BMM__LIKELY(given_size == SIZE_MAX && given_align == 0 && bmm__block_claim_plain((uintptr_t)p, kind, &block))) {
        note_free(block.record, &caller);
        bmm__block_give_back(&block, caller.is_settled);
    } else
        free_by(p, given_size, given_align, kind, &caller);
    errno = saved_errno;
}

size_t bmm__call_usable_size(const void *p)
{
    struct bmm__block block;
    switch (bmm__block_find((uintptr_t)p, &block)) {
    case BMM__BLOCK_LIVE:
    case BMM__BLOCK_BUSY:
        return bmm__block_size(&block);
    case BMM__BLOCK_UNRECORDED:
        return bmm__block_held(&block, p);
    default:
        return 0;
    }
}
