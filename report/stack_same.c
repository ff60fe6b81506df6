#include "report/stack_same.h"

static uint64_t add(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

void bmm__stack_key_add(struct bmm__stack_key *key, uint64_t word)
{
    key->a = add(key->a, word);
    key->b = add(key->b, word);
}

struct bmm__stack_key bmm__stack_key(const struct bmm__stack *stack, uint64_t seed)
{
    struct bmm__stack_key key = { seed, ~seed };
    bmm__stack_key_add(&key, stack->is_truncated);
    for (uint32_t i = 0; i < stack->count; i++)
        bmm__stack_key_add(&key, stack->frames[i]->key);
    return key;
}
