#include "report/merge.h"

#include "report/stack_same.h"

#include <stdlib.h>
#include <string.h>

/* Texts are interned (P2), so their addresses stand for them. */
static struct bmm__stack_key key_of(const struct bmm__leak *leak)
{
    struct bmm__stack_key key = bmm__stack_key(leak->stack, BMM__HASH_SEED);
    bmm__stack_key_add(&key, (uintptr_t)leak->class);
    bmm__stack_key_add(&key, (uintptr_t)leak->kind);
    bmm__stack_key_add(&key, (uintptr_t)leak->type);
    return key;
}

static int by_bytes(const void *left, const void *right)
{
    const struct bmm__merged_leak *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    return (a->leak > b->leak) - (a->leak < b->leak);
}

struct bmm__merged_leaks bmm__merge_leaks(const struct bmm__report *report)
{
    struct bmm__merged_leaks merged = { 0 };
    struct bmm__map rows = { 0 };
    for (uint32_t i = 0; i < report->leak_count; i++) {
        const struct bmm__leak *leak = &report->leaks[i];
        bool is_new = true; /* what one process leaked at the same place is one leak already */
        uint32_t row = merged.count;
        if (report->process_count > 1) {
            struct bmm__stack_key key = key_of(leak);
            row = bmm__map_put(&rows, key.a, key.b, merged.count, &is_new);
        }
        if (is_new) {
            merged.rows = bmm__grow(merged.rows, &merged.capacity, (size_t)merged.count + 1, sizeof *merged.rows);
            merged.rows[merged.count++] =
                (struct bmm__merged_leak){ .leak = leak, .process_count = 1, .last_process = leak->process };
        }
        struct bmm__merged_leak *sum = &merged.rows[row];
        /* The first row is new, so rows is there. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
        sum->bytes = bmm__saturating_add(sum->bytes, leak->bytes);
        sum->blocks = bmm__saturating_add(sum->blocks, leak->blocks);
        sum->process_count += sum->last_process != leak->process;
        sum->last_process = leak->process;
    }
    bmm__map_free(&rows);
    if (merged.count > 0)
        qsort(merged.rows, merged.count, sizeof *merged.rows, by_bytes);
    return merged;
}

void bmm__merged_leaks_free(struct bmm__merged_leaks *merged)
{
    free(merged->rows);
    *merged = (struct bmm__merged_leaks){ 0 };
}
