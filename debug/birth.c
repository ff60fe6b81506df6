/* See birth.h. */
#include "birth.h"

static uint32_t late_alloc_count;

size_t bmm__birth_slot_bytes(size_t size, size_t align)
{
    if (bmm__options.mode != BMM_MODE_CHECK)
        return size;
    size_t around = align + BMM__GUARD_BYTES_MIN;
    return size > PTRDIFF_MAX - around || align > PTRDIFF_MAX / 4 ? 0 : size + around;
}

uint32_t bmm__birth_late_count(void)
{
    return bmm__add_relaxed(&late_alloc_count, 1u);
}

void *bmm__birth_in(struct bmm__block *block, size_t size, size_t align, unsigned kind, size_t fill_from,
                    const struct bmm__caller *caller)
{
    return bmm__birth_in_as(bmm__options.mode, block, size, align, kind, fill_from, caller);
}

bool bmm__birth_find(void *slot_start, struct bmm__block *block, bool is_settled)
{
    return bmm__core_find((uintptr_t)slot_start, &block->slot) && bmm__birth_find_record(block, is_settled);
}

void *bmm__birth_unrecorded(const struct bmm__block *block, bool is_settled)
{
    if (!is_settled)
        return (void *)block->slot.start; /* UNRECORDED: a handler that interrupted the settling (P2) */
    bmm__core_free_slot(&block->slot);
    return NULL;
}

void *bmm__birth_make(size_t size, size_t align, bool is_zeroed, unsigned kind, const struct bmm__caller *caller)
{
    size_t bytes = bmm__birth_slot_bytes(size, align);
    return bytes < size ? NULL : bmm__birth_make_as(bmm__options.mode, bytes, size, align, is_zeroed, kind, caller);
}

/* In a slot of the core that has just been had. */
static void *begin(struct bmm__block *block, size_t size, size_t align, size_t fill_from, unsigned kind,
                   const struct bmm__caller *caller)
{
    if (!bmm__birth_find_record(block, caller->is_settled))
        return bmm__birth_unrecorded(block, caller->is_settled);
    return bmm__birth_in(block, size, align, kind, fill_from, caller);
}

void *bmm__birth_make_in(struct bmm_heap *object, size_t size, size_t align, bool is_zeroed, unsigned kind,
                         const struct bmm__caller *caller)
{
    size_t bytes = bmm__birth_slot_bytes(size, align);
    struct bmm__block block;
    if (bytes < size || !bmm__core_object_alloc(object, bytes, align, is_zeroed, &block.slot))
        return NULL;
    return begin(&block, size, align, is_zeroed ? size : 0, kind, caller);
}

void *bmm__birth_make_run(size_t size, size_t align, enum bmm__use use, unsigned kind, const struct bmm__caller *caller)
{
    size_t bytes = bmm__birth_slot_bytes(size, align);
    struct bmm__block block;
    if (bytes < size || !bmm__core_alloc_run(bytes, align, use, &block.slot))
        return NULL;
    return begin(&block, size, align, 0, kind, caller);
}
