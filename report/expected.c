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

/* Bytes of a name without its list of parameters, which only some have: as they are found in debug information or by their symbol. */
static size_t bare_bytes(const char *name)
{
    const char *end = strrchr(name, ')'), *at = end;
    int depth = 0;
    for (; at != NULL && at >= name; at--) {
        depth += (*at == ')') - (*at == '(');
        if (depth == 0)
            return (size_t)(at - name);
    }
    return strlen(name);
}

static bool matches_name(const char *pattern, const char *name)
{
    char bare[1024];
    size_t bytes = bare_bytes(name);
    if (fnmatch(pattern, name, 0) == 0)
        return true;
    if (bytes == 0 || bytes >= sizeof bare || name[bytes] == 0)
        return false;
    memcpy(bare, name, bytes);
    bare[bytes] = 0;
    return fnmatch(pattern, bare, 0) == 0;
}

static bool matches(const char *pattern, const struct bmm__stack *stack)
{
    for (uint32_t i = 0; i < stack->count; i++)
        if (stack->frames[i]->function != NULL && matches_name(pattern, stack->frames[i]->function))
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
