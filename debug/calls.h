/* The client's functions: what happens at malloc, free and realloc while the debug layer is on. The order in each call:
 * stack and core, neither within a lock of the other, then the record. */
#ifndef BMM_CALLS_H
#define BMM_CALLS_H

#include "block.h"
#include "caller.h"

#include <stdbool.h>
#include <stddef.h>

void *bmm__call_alloc(size_t size, size_t align, bool is_zeroed, unsigned kind);
void bmm__call_free(void *p, size_t given_size, size_t given_align, unsigned kind);
void *bmm__call_object_alloc(struct bmm_heap *object, size_t size, size_t align, bool is_zeroed, unsigned kind);
void bmm__call_object_clear(struct bmm_heap *object);
void *bmm__call_alloc_run(size_t size, size_t align, enum bmm__use use, unsigned kind);
/* Of what is not a live block: reported, NULL. */
void *bmm__call_realloc(void *p, size_t size, unsigned kind);
void *bmm__call_reget(void *p, size_t size, unsigned kind);
/* What is not a live block of that kind is reported. */
bool bmm__call_free_as(void *p, unsigned kind);
bool bmm__call_view(uintptr_t address, bool by_slot, struct bmm__view *view);
/* bmm__block_usable; of a block without a record what its slot holds. 0: no live block; but under leak a freed block is not known
 * from a live one. */
size_t bmm__call_usable_size(const void *p);

/* ---- what free and realloc share ---- */

/* The call passed what is not a live block: ignored, after it was reported. */
void bmm__call_refuse(uintptr_t address, enum bmm__block_is what, const struct bmm__block *block,
                      enum bmm_error_moment moment, unsigned kind, struct bmm__caller *caller);
/* Kinds, sizes and guards of a claimed block. */
void bmm__call_judge_all(struct bmm__block *block, enum bmm_error_moment moment, unsigned kind, size_t given_size,
                         size_t given_align, struct bmm__caller *caller);
static inline void bmm__call_judge(struct bmm__block *block, enum bmm_error_moment moment, unsigned kind,
                                   size_t given_size, size_t given_align, struct bmm__caller *caller)
{
    const struct bmm__record *record = block->record;
    bool is_plain = record->kind == kind && given_size == SIZE_MAX && given_align == 0; /* no more to be compared */
    if (BMM__UNLIKELY(!is_plain || record->mode == BMM_MODE_CHECK))
        bmm__call_judge_all(block, moment, kind, given_size, given_align, caller);
}
/* Whether the kind is one that only calls of its own resize and free. */
static inline bool bmm__call_is_of_use(unsigned kind)
{
    return kind == BMM_KIND_PAGES || kind == BMM_KIND_MEMORY_BLOCK;
}
/* Ends a claimed block: through the quarantine, where it was born under check. */
void bmm__call_end(struct bmm__block *block, const struct bmm__caller *caller);

#endif
