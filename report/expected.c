#include "report/expected.h"

#include "report/arena.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

void bmm__expected_read(struct bmm__expected *expected, const struct bmm__snapshot *snapshot)
{
    struct bmm__cursor cursor = { 0 };
    struct bmm_snapshot_expected rule;
    while (bmm__snapshot_next_expected(snapshot, &cursor, &rule)) {
        expected->rules =
            bmm__grow(expected->rules, &expected->capacity, (size_t)expected->count + 1, sizeof *expected->rules);
        expected->rules[expected->count++] = rule;
    }
}

void bmm__expected_free(struct bmm__expected *expected)
{
    free(expected->rules);
}

static struct bmm_snapshot_expected *find_size(const struct bmm__expected *expected, uint64_t size)
{
    for (uint32_t i = 0; i < expected->count; i++) {
        struct bmm_snapshot_expected *rule = &expected->rules[i];
        if (rule->pattern[0] == '\0' && rule->size == size && rule->count > 0)
            return rule;
    }
    return NULL;
}

bool bmm__expected_has_size(const struct bmm__expected *expected, uint64_t size)
{
    return find_size(expected, size) != NULL;
}

void bmm__expected_take_size(struct bmm__expected *expected, uint64_t size)
{
    struct bmm_snapshot_expected *rule = find_size(expected, size);
    if (rule != NULL)
        rule->count--;
}

static bool matches(const char *pattern, const struct bmm__stack *stack)
{
    for (uint32_t i = 0; i < stack->count; i++)
        if (stack->frames[i]->function != NULL && fnmatch(pattern, stack->frames[i]->function, 0) == 0)
            return true;
    return false;
}

bool bmm__expected_has_stack(const struct bmm__expected *expected, const struct bmm__stack *stack)
{
    for (uint32_t i = 0; i < expected->count; i++)
        if (expected->rules[i].pattern[0] != '\0' && matches(expected->rules[i].pattern, stack))
            return true;
    return false;
}
