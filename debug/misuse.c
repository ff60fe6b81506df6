/* See misuse.h. */
#include "misuse.h"

#include "error.h"

bool bmm__kinds_are_judged = true;

void bmm__misuse_pointer(uintptr_t address, enum bmm__block_is what, const struct bmm__block *block,
                         enum bmm_error_moment moment, unsigned kind, uint32_t stack)
{
    struct bmm_snapshot_error error;
    if (what == BMM__BLOCK_FOREIGN)
        error = (struct bmm_snapshot_error){ .kind = BMM_ERROR_INVALID_FREE, .moment = (uint32_t)moment };
    else
        error = bmm__error_about(block, what == BMM__BLOCK_INTERIOR ? BMM_ERROR_INTERIOR_FREE : BMM_ERROR_DOUBLE_FREE,
                                 moment);
    error.address = address;
    error.free_kind = kind;
    error.detected_stack = stack;
    bmm__error_report(&error);
}

/* Kinds of one family may be given back by each other's calls. */
static unsigned family(unsigned kind)
{
    switch (kind) {
    case BMM_KIND_NEW:
    case BMM_KIND_NEW_ARRAY:
    case BMM_KIND_NEW_ALIGNED:
    case BMM_KIND_NEW_ARRAY_ALIGNED:
        return kind;
    default:
        return BMM_KIND_MALLOC;
    }
}

unsigned bmm__misuse_of_kind(const struct bmm__block *block, unsigned kind, size_t given_size, size_t given_align)
{
    const struct bmm__record *record = block->record;
    if (bmm__kinds_are_judged && family(kind) != family(record->kind))
        return BMM_ERROR_MISMATCHED_FREE;
    if ((given_size != SIZE_MAX && given_size != bmm__block_size(block)) ||
        (given_align > 16 && given_align != bmm__record_align(record)))
        return BMM_ERROR_SIZED_DELETE_MISMATCH;
    return 0;
}

void bmm__misuse_kind(const struct bmm__block *block, enum bmm_error_kind what, enum bmm_error_moment moment,
                      unsigned kind, size_t given_size, size_t given_align, uint32_t stack)
{
    struct bmm_snapshot_error error = bmm__error_about(block, what, moment);
    error.free_kind = kind;
    error.detected_stack = stack;
    error.given_size = given_size != SIZE_MAX ? given_size : 0;
    error.given_align = given_align;
    bmm__error_report(&error);
}
