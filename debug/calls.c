/* See calls.h. */
#include "calls.h"

#include "birth.h"
#include "misuse.h"

#include "core/client_fast.h"

#include <errno.h>
#include <string.h>

/* Not on the way that nearly every allocation goes: who is called there keeps errno. */
static __attribute__((noinline)) void *alloc_otherwise(size_t size, size_t align, bool is_zeroed, unsigned kind,
                                                       const struct bmm__caller *caller)
{
    int saved_errno = errno;
    void *p = bmm__birth_make(size, align, is_zeroed, kind, caller);
    errno = p != NULL ? saved_errno : ENOMEM;
    return p;
}

static __attribute__((noinline, cold)) void *none(void)
{
    errno = ENOMEM;
    return NULL;
}

/* By values: so the slot of who calls need not have an address. */
static __attribute__((noinline)) void free_slot_otherwise(struct bmm__span *span, uintptr_t start, uint32_t index)
{
    const struct bmm__slot slot = { .span = span, .start = start, .index = index };
    bmm__core_free_slot(&slot);
}

/* Under leak the slot comes first, and its record, of which a program with many blocks has little in its caches, is fetched while
 * the stack is found. */
void *bmm__call_alloc(size_t size, size_t align, bool is_zeroed, unsigned kind)
{
    struct bmm__caller caller = { .is_settled = bmm__process_is_settled(), .thread = bmm__thread_current() };
    struct bmm__block block;
    if (BMM__UNLIKELY(!caller.is_settled || caller.thread == NULL || bmm__options.mode != BMM_MODE_LEAK ||
                      align != 16 || !bmm__fast_alloc(size, &block.slot))) {
        if (caller.is_settled)
            caller.stack = bmm__caller_stack(caller.thread);
        const struct bmm__caller other = caller; /* so that this one need not have an address */
        return alloc_otherwise(size, align, is_zeroed, kind, &other);
    }
    if (BMM__UNLIKELY(!bmm__birth_find_record(&block, true))) {
        free_slot_otherwise(block.slot.span, block.slot.start, block.slot.index);
        return none();
    }
    bmm__birth_fetch_record(&block); /* which comes while the stack is found */
    caller.stack = bmm__caller_stack(caller.thread);
    if (is_zeroed)
        memset((void *)block.slot.start, 0, size); /* NOLINT */
    return bmm__birth_in_as(BMM_MODE_LEAK, &block, size, 16, kind, size, &caller);
}

void *bmm__call_object_alloc(struct bmm_heap *object, size_t size, size_t align, bool is_zeroed, unsigned kind)
{
    struct bmm__caller caller = bmm__caller_of_alloc();
    int saved_errno = errno;
    void *p = bmm__birth_make_in(object, size, align, is_zeroed, kind, &caller);
    errno = p != NULL ? saved_errno : ENOMEM;
    return p;
}

struct clearing {
    struct bmm_heap *object;
    struct bmm__caller caller;
};

/* The block in a slot of an object that is cleared. Slots that were in quarantine may be another heap's meanwhile: that is asked
 * of a block that is claimed, and so cannot become another. */
static void end_slot(uintptr_t slot_start, void *context)
{
    struct clearing *clearing = context;
    struct bmm__block block;
    if (!bmm__core_find(slot_start, &block.slot))
        return;
    if (block.slot.side == NULL) { /* unrecorded, and so in no quarantine */
        if (bmm__core_object_of(&block.slot) == clearing->object)
            bmm__core_free_slot(&block.slot);
        return;
    }
    const struct bmm__record *record = &((struct bmm__side *)block.slot.side)->records[block.slot.index];
    uintptr_t start = slot_start + bmm__block_front(record);
    if (bmm__record_settled_state(record) != BMM_SLOT_LIVE || bmm__block_claim(start, &block) != BMM__BLOCK_LIVE)
        return;
    if (bmm__core_object_of(&block.slot) != clearing->object) {
        bmm__block_unclaim(&block);
        return;
    }
    bmm__call_judge(&block, BMM_MOMENT_FREE, block.record->kind, SIZE_MAX, 0, &clearing->caller);
    bmm__call_end(&block, &clearing->caller);
}

void bmm__call_object_clear(struct bmm_heap *object)
{
    struct clearing clearing = { object, bmm__caller_of_free() };
    bmm__core_object_visit(object, end_slot, &clearing);
}

void *bmm__call_alloc_run(size_t size, size_t align, enum bmm__use use, unsigned kind)
{
    struct bmm__caller caller = bmm__caller_of_alloc();
    int saved_errno = errno;
    void *p = bmm__birth_make_run(size, align, use, kind, &caller);
    errno = p != NULL ? saved_errno : ENOMEM;
    return p;
}

void bmm__call_end(struct bmm__block *block, const struct bmm__caller *caller)
{
    struct bmm__thread *thread = caller->thread;
    struct bmm__record *record = block->record;
    record->free_stack = caller->stack;
    bool is_writable = bmm__core_restore_rights(&block->slot);
    if (thread != NULL)
        bmm__store_relaxed(&thread->free_count, thread->free_count + 1);
    if (record->mode == BMM_MODE_CHECK && is_writable) {
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

static void free_by(void *p, size_t given_size, size_t given_align, unsigned kind, struct bmm__caller *caller)
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

static __attribute__((noinline)) void free_otherwise(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    struct bmm__caller caller = bmm__caller_of_free();
    int saved_errno = errno;
    free_by(p, given_size, given_align, kind, &caller);
    errno = saved_errno;
}

/* Whether the slot begins at the address, and its last word (*birth) says that the block there is live and was born under leak; as
 * far as that is seen at once. */
static inline bool find_plain(uintptr_t address, struct bmm__slot *slot, struct bmm__record **record, uint64_t *birth)
{
    static const uint64_t looked_at = BMM__RECORD_BIRTH(0, 0, 0xff) | BMM__RECORD_STATE(0xff);
    if (BMM__UNLIKELY(!bmm__fast_find(address, slot) || slot->side == NULL))
        return false;
    *record = &((struct bmm__side *)slot->side)->records[slot->index];
    *birth = bmm__load_acquire(&(*record)->words[2]);
    return BMM__LIKELY((*birth & looked_at) ==
                       (BMM__RECORD_BIRTH(0, 0, BMM_MODE_LEAK) | BMM__RECORD_STATE(BMM_SLOT_LIVE)));
}

/* All in one for such a block of that kind: what claims, notes and gives back otherwise. Of the record only one word is read, and
 * it is free at once: between that and the core nobody can have a use for it. False: it is not such a block, and nothing was done.
 */
static inline bool free_plain(uintptr_t address, unsigned kind)
{
    struct bmm__slot slot;
    struct bmm__thread *thread = bmm__thread_own;
    struct bmm__record *record;
    uint64_t birth;
    if (BMM__UNLIKELY(thread == NULL || !find_plain(address, &slot, &record, &birth) ||
                      BMM__RECORD_KIND(birth) != kind))
        return false;
    if (!bmm__alone_try(thread, &record->words[2], birth, birth ^ BMM__RECORD_STATE(BMM_SLOT_LIVE ^ BMM_SLOT_FREE)))
        return false;
    bmm__store_relaxed(&thread->free_count, thread->free_count + 1);
    if (bmm__load_acquire(&bmm__recorder_process->state) != BMM__RECORDER_UNSETTLED &&
        bmm__record_may_mirror(slot.side))
        bmm__record_mirror_state(slot.side, slot.index, kind, BMM_SLOT_FREE);
    if (BMM__UNLIKELY(!bmm__fast_free(&slot)))
        free_slot_otherwise(slot.span, slot.start, slot.index);
    return true;
}

void bmm__call_free(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    if (BMM__UNLIKELY(given_size != SIZE_MAX || given_align != 0))
        free_otherwise(p, given_size, given_align, kind);
    else if (BMM__UNLIKELY(!free_plain((uintptr_t)p, kind)))
        free_otherwise(p, SIZE_MAX, 0, kind);
}

bool bmm__call_free_as(void *p, unsigned kind)
{
    int saved_errno = errno;
    struct bmm__caller caller = bmm__caller_of_free();
    struct bmm__block block;
    enum bmm__block_is what = bmm__block_claim((uintptr_t)p, &block);
    bool is_right = what == BMM__BLOCK_LIVE && block.record->kind == kind;
    if (is_right) {
        bmm__call_judge(&block, BMM_MOMENT_FREE, kind, SIZE_MAX, 0, &caller);
        bmm__call_end(&block, &caller);
    } else if (what == BMM__BLOCK_LIVE) {
        bmm__caller_complete_stack(&caller);
        bmm__misuse_kind(&block, BMM_ERROR_MISMATCHED_FREE, BMM_MOMENT_FREE, kind, SIZE_MAX, 0, caller.stack);
        bmm__block_unclaim(&block);
    } else if (what == BMM__BLOCK_UNRECORDED) {
        is_right = bmm__core_free((void *)block.slot.start); /* for all that is known */
    } else {
        bmm__call_refuse((uintptr_t)p, what, &block, BMM_MOMENT_FREE, kind, &caller);
    }
    errno = is_right ? saved_errno : EINVAL;
    return is_right;
}

bool bmm__call_view(uintptr_t address, bool by_slot, struct bmm__view *view)
{
    struct bmm__block block;
    enum bmm__block_is what = bmm__block_find(address, &block);
    if (what == BMM__BLOCK_UNRECORDED)
        return bmm__core_view(address, false, view); /* or its span is just ending */
    if (what != BMM__BLOCK_LIVE && what != BMM__BLOCK_INTERIOR)
        return false;
    size_t size = bmm__block_size(&block), offset = address - block.start;
    if (bmm__record_settled_state(block.record) != BMM_SLOT_LIVE || (!by_slot && offset != 0 && offset >= size))
        return false;
    view->start = block.start;
    view->size = size;
    view->align = bmm__record_align(block.record);
    view->is_exact = true;
    return true;
}

static __attribute__((noinline)) size_t usable_size_otherwise(const void *p)
{
    struct bmm__block block;
    struct bmm__slot slot;
    if (bmm__options.mode == BMM_MODE_LEAK && bmm__core_find((uintptr_t)p, &slot) && slot.side != NULL &&
        slot.start == (uintptr_t)p && !slot.is_free_run)
        return slot.bytes;
    switch (bmm__block_find((uintptr_t)p, &block)) {
    case BMM__BLOCK_LIVE:
    case BMM__BLOCK_BUSY:
        return bmm__block_usable(&block);
    case BMM__BLOCK_UNRECORDED:
        return bmm__block_held(&block, p);
    default:
        return 0;
    }
}

/* Under leak its slot says it. Who asks may be about to free the block, so its record is fetched. */
size_t bmm__call_usable_size(const void *p)
{
    struct bmm__slot slot;
    if (BMM__UNLIKELY(bmm__options.mode != BMM_MODE_LEAK || !bmm__fast_find((uintptr_t)p, &slot) || slot.side == NULL))
        return usable_size_otherwise(p);
    __builtin_prefetch(&((struct bmm__side *)slot.side)->records[slot.index].words[2], 1);
    return slot.bytes;
}
