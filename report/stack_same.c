#include "report/stack_same.h"

#include "report/map.h"

void bmm__stack_key_add(struct bmm__stack_key *key, uint64_t word)
{
    key->a = bmm__hash_word(key->a, word);
    key->b = bmm__hash_word(key->b, word);
}

struct bmm__stack_key bmm__stack_key(const struct bmm__stack *stack, uint64_t seed)
{
    struct bmm__stack_key key = { seed, ~seed };
    bmm__stack_key_add(&key, stack->is_truncated);
    for (uint32_t i = 0; i < stack->count; i++)
        bmm__stack_key_add(&key, stack->frames[i]->key);
    return key;
}
