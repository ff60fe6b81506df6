/* What slots leave over of their span lies in front of them: no block is there, and the span's memory goes back with it. */
#include "tests/plain.h"

#include "core/client.h"
#include "core/heap.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/process.h"
#include "core/size_class.h"
#include "core/span.h"

#define LINE ((size_t)64)

static uintptr_t memory_of(const struct bmm__span *span)
{
    return span->start / BMM__GRANULE * BMM__GRANULE;
}

/* Of each class one, and at each alignment that slots have: it and its span. */
static void each_class(void (*check)(const struct bmm__span *span, void *block, size_t align))
{
    for (unsigned class_index = 0; class_index < BMM__CLASS_COUNT; class_index++)
        for (size_t align = 16; align <= (size_t)1 << BMM__ALIGN_SHIFT_MAX; align *= 2) {
            size_t slot_bytes = bmm__class_bytes(class_index);
            if (slot_bytes % align != 0)
                continue;
            void *block = bmm__core_alloc(slot_bytes, align, false);
            const struct bmm__span *span = bmm__page_map_find((uintptr_t)block);
            PLAIN_CHECK(block != NULL && span != NULL && span->list.slot_bytes == slot_bytes);
            check(span, block, align);
            PLAIN_CHECK(bmm__core_free(block));
        }
}

static void check_place(const struct bmm__span *span, void *block, size_t align)
{
    size_t slot_bytes = span->list.slot_bytes, unit = align < LINE ? LINE : align, lead = span->start - memory_of(span);
    size_t used = (size_t)span->slot_count * slot_bytes;
    PLAIN_CHECK_EQUAL((uintptr_t)block % align, 0);
    PLAIN_CHECK_EQUAL(lead % unit, 0);
    PLAIN_CHECK(lead + used <= span->span_bytes && lead + used + unit > span->span_bytes);
    PLAIN_CHECK(span->span_bytes - used < slot_bytes);
}

PLAIN_TEST(slots_end_where_their_span_does)
{
    each_class(check_place);
}

static void check_no_block(const struct bmm__span *span, void *block, size_t align)
{
    (void)block, (void)align;
    struct bmm__slot slot;
    for (uintptr_t at = memory_of(span); at < span->start; at++) {
        PLAIN_CHECK(!bmm__core_is_start(span, at));
        PLAIN_CHECK(!bmm__core_find(at, &slot));
        PLAIN_CHECK(!bmm__span_is_at_slot(span, at - span->start));
        PLAIN_CHECK(!bmm__core_free((void *)at)); /* NOLINT */
    }
    PLAIN_CHECK(bmm__core_is_start(span, span->start));
}

PLAIN_TEST(no_block_is_in_front_of_them)
{
    each_class(check_no_block);
}

#define BLOCK ((size_t)1152)
#define SPANS 8

/* Several spans side by side, of which every other one ends. */
PLAIN_TEST(a_span_ends_with_all_its_memory_and_no_more)
{
    static void *blocks[SPANS][1024];
    struct bmm__span *spans[SPANS];
    for (size_t i = 0; i < SPANS; i++) {
        PLAIN_CHECK((blocks[i][0] = bmm__core_alloc(BLOCK, 16, false)) != NULL);
        spans[i] = bmm__page_map_find((uintptr_t)blocks[i][0]);
        for (size_t k = 1; k < spans[i]->slot_count; k++) {
            PLAIN_CHECK((blocks[i][k] = bmm__core_alloc(BLOCK, 16, false)) != NULL);
            PLAIN_CHECK(bmm__page_map_find((uintptr_t)blocks[i][k]) == spans[i]);
        }
    }
    PLAIN_CHECK(spans[0]->start % BMM__GRANULE != 0);
    uintptr_t memory[SPANS];
    size_t bytes = spans[0]->span_bytes, count = spans[0]->slot_count;
    for (size_t i = 0; i < SPANS; i++)
        memory[i] = memory_of(spans[i]);
    for (size_t i = 0; i < SPANS; i += 2)
        for (size_t k = 0; k < count; k++)
            PLAIN_CHECK(bmm__core_free(blocks[i][k]));
    bmm__heap_minimize(bmm__thread_heap());
    for (size_t i = 0; i < SPANS; i++)
        for (uintptr_t at = memory[i]; at < memory[i] + bytes; at += BMM__GRANULE)
            PLAIN_CHECK(bmm__page_map_find(at) == (i % 2 == 0 ? NULL : spans[i]));
    for (size_t i = 1; i < SPANS; i += 2)
        for (size_t k = 0; k < count; k++)
            PLAIN_CHECK(bmm__core_free(blocks[i][k]));
}
