#include "report/stack_same.h"

/* Texts are interned, so words are enough. */
static uint64_t add(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

uint64_t bmm__stack_hash(const struct bmm__stack *stack, uint64_t seed)
{
    uint64_t hash = add(seed, stack->is_truncated);
    for (uint32_t i = 0; i < stack->count; i++) {
        const struct bmm__frame *frame = stack->frames[i];
        hash = add(add(hash, (uintptr_t)frame->function), (uintptr_t)frame->file);
        hash = add(add(hash, (uintptr_t)frame->module), frame->line);
        hash = add(hash, frame->line == 0 ? frame->offset : 0);
    }
    return hash;
}
