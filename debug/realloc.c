/* realloc: in place where it may stay, else by moving pages, else by copying. */
#include "birth.h"
#include "calls.h"
#include "misuse.h"

#include <errno.h>
#include <string.h>

#define MOVE_ALWAYS_BYTES ((size_t)65536) /* a growing block up to here moves, so that stale pointers are found */

/* True where the block should stay if it can: always under leak; under check what shrinks a little or is large. */
static bool should_stay(const struct bmm__block *block, size_t size)
{
    if (block->record->mode != BMM_MODE_CHECK)
        return true;
    size_t old_size = bmm__block_size(block);
    if (block->record->kind == BMM_KIND_PAGES && size < old_size)
        return true; /* as the call promises */
    return size > old_size ? old_size > MOVE_ALWAYS_BYTES : size >= old_size / 2;
}

/* In place, the record says the new size; NULL: it does not fit. The block is claimed, and live again if it worked. */
static void *resize(struct bmm__block *block, size_t size, unsigned kind, const struct bmm__caller *caller)
{
    size_t align = bmm__record_align(block->record);
    size_t old_size = bmm__block_size(block);
    size_t bytes = bmm__birth_slot_bytes(size, align);
    if (block->record->mode == BMM_MODE_CHECK && !bmm__core_restore_rights(&block->slot))
        return NULL; /* guards will be laid where pages were that are given up */
    if (bytes < size || !bmm__core_resize((void *)block->slot.start, bytes))
        return NULL;
    struct bmm__block now;
    if (!bmm__birth_find((void *)block->slot.start, &now, caller->is_settled))
        return NULL;
    *block = now;
    return bmm__birth_in(block, size, align, kind, old_size, caller);
}

/* The same pages at another address. The old record must not be found live by anyone when its span ends, nor be
 * taken for a freed block. */
static void *remap(struct bmm__block *block, size_t size, unsigned kind, bool keeps, const struct bmm__caller *caller)
{
    if (block->side->slot_count != 1 || bmm__core_span_view(block->slot.span).kind != BMM_SPAN_LARGE ||
        bmm__core_object_of(&block->slot) != NULL)
        return NULL;
    size_t align = bmm__record_align(block->record);
    size_t old_size = bmm__block_size(block);
    size_t bytes = bmm__birth_slot_bytes(size, align);
    if (bytes < size)
        return NULL;
    bmm__store_release(&block->record->state, (uint8_t)BMM_SLOT_NEVER);
    void *slot_start = bmm__core_remap((void *)block->slot.start, bytes, keeps);
    if (slot_start == NULL) {
        bmm__store_release(&block->record->state, bmm__record_busy());
        return NULL;
    }
    size_t front = block->start - block->slot.start;
    if (!bmm__birth_find(slot_start, block, caller->is_settled))
        return (char *)slot_start + front; /* UNRECORDED from now on */
    return bmm__birth_in(block, size, align, kind, old_size, caller);
}

static void *move(struct bmm__block *block, size_t size, unsigned kind, bool keeps, const struct bmm__caller *caller)
{
    size_t usable = bmm__block_usable(block), align = bmm__record_align(block->record);
    struct bmm_heap *object = bmm__core_object_of(&block->slot);
    bool is_readable = bmm__core_restore_rights(&block->slot);
    void *moved = !is_readable             ? NULL
                  : kind == BMM_KIND_PAGES ? bmm__birth_make_run(size, align, BMM__USE_PAGES, kind, caller)
                  : object != NULL         ? bmm__birth_make_in(object, size, align, false, kind, caller)
                                           : bmm__birth_make(size, align, false, kind, caller);
    if (moved == NULL) {
        bmm__block_unclaim(block);
        return NULL;
    }
    if (keeps)
        memcpy(moved, (const void *)block->start, usable < size ? usable : size);
    bmm__call_end(block, caller);
    return moved;
}

/* A block without a record: as much as its slot holds is copied. */
static void *move_unrecorded(const struct bmm__block *block, const void *p, size_t size, unsigned kind,
                             const struct bmm__caller *caller)
{
    size_t held = bmm__block_held(block, p);
    void *moved = bmm__birth_make(size, 16, false, kind, caller);
    if (moved != NULL) {
        memcpy(moved, p, held < size ? held : size);
        bmm__core_free((void *)block->slot.start);
    }
    return moved;
}

/* False with EINVAL, and the claimed block as it was: calls of that kind may not resize it. */
static bool may_change(struct bmm__block *block, unsigned kind, struct bmm__caller *caller)
{
    unsigned own = block->record->kind;
    if (own != BMM_KIND_MEMORY_BLOCK && (own == kind || !bmm__call_is_of_use(kind)))
        return true;
    if (own != BMM_KIND_MEMORY_BLOCK) {
        bmm__caller_complete_stack(caller);
        bmm__misuse_kind(block, BMM_ERROR_MISMATCHED_FREE, BMM_MOMENT_REALLOC, kind, SIZE_MAX, 0, caller->stack);
    }
    bmm__block_unclaim(block);
    errno = EINVAL;
    return false;
}

static __attribute__((noinline)) void *realloc_by(void *p, size_t size, unsigned kind, bool keeps,
                                                  struct bmm__caller *caller)
{
    struct bmm__block block;
    enum bmm__block_is what = bmm__block_claim((uintptr_t)p, &block);
    if (BMM__UNLIKELY(what == BMM__BLOCK_UNRECORDED))
        return move_unrecorded(&block, p, size, kind, caller);
    if (BMM__UNLIKELY(what != BMM__BLOCK_LIVE)) {
        bmm__call_refuse((uintptr_t)p, what, &block, BMM_MOMENT_REALLOC, kind, caller);
        errno = bmm__call_is_of_use(kind) ? EINVAL : ENOMEM;
        return NULL;
    }
    if (BMM__UNLIKELY(bmm__call_is_of_use(kind) || bmm__call_is_of_use(block.record->kind))) {
        if (!may_change(&block, kind, caller))
            return NULL;
        kind = block.record->kind;
    }
    bmm__call_judge(&block, BMM_MOMENT_REALLOC, kind, SIZE_MAX, 0, caller);
    void *result = NULL;
    if (should_stay(&block, size)) {
        result = resize(&block, size, kind, caller);
        if (result == NULL)
            result = remap(&block, size, kind, keeps, caller);
    }
    return result != NULL ? result : move(&block, size, kind, keeps, caller);
}

void *bmm__call_realloc(void *p, size_t size, unsigned kind)
{
    int saved_errno = errno;
    struct bmm__caller caller = bmm__caller_of_alloc();
    errno = ENOMEM;
    void *result = realloc_by(p, size, kind, true, &caller);
    if (BMM__LIKELY(result != NULL))
        errno = saved_errno;
    return result;
}

void *bmm__call_reget(void *p, size_t size, unsigned kind)
{
    int saved_errno = errno;
    struct bmm__caller caller = bmm__caller_of_alloc();
    errno = ENOMEM;
    void *result = realloc_by(p, size, kind, false, &caller);
    if (BMM__LIKELY(result != NULL))
        errno = saved_errno;
    return result;
}
