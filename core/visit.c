#include "core/visit.h"

#include "core/arena.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/heap_pool.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/page_run.h"
#include "core/process.h"
#include "core/remote.h"

#include <string.h>

#define SLOTS_MAX 4096u
#define LOOKS_MAX 150u  /* at the slots of a span, while batches for it are on their way */
#define QUICK_LOOKS 50u /* then others are let on for a while, that one may arrive */

_Static_assert(BMM__GRANULE / 16 <= SLOTS_MAX, "the smallest slots of a span have a bit each");

static void mark(const struct bmm__span *span, uintptr_t slot, uint64_t *is_free)
{
    uint32_t index = bmm__span_index(span, slot - span->start);
    if (index < SLOTS_MAX) /* it may be another's by now */
        is_free[index / 64] |= 1ull << index % 64;
}

/* Lists that others change while they are walked lead anywhere: every step is checked, and counted. */
static void mark_local(struct bmm__span *span, uint64_t *is_free)
{
    const struct bmm__list *list = bmm__span_list(span);
    const void *at = NULL;
    for (uint32_t i = 0; i < span->slot_count; i++) {
        const struct bmm__slot_link *slot = bmm__list_walk(list, &at);
        uint32_t index;
        if (slot == NULL || bmm__page_map_find((uintptr_t)slot) != span ||
            !bmm__span_slot_at(span, (uintptr_t)slot - span->start, &index))
            return;
        mark(span, (uintptr_t)slot, is_free);
    }
}

static void mark_index(const struct bmm__span *span, uint32_t index, uint64_t *is_free)
{
    if (index < span->slot_count && index < SLOTS_MAX)
        is_free[index / 64] |= 1ull << index % 64;
}

/* Batches from head on, of count slots together. */
static void mark_chain(const struct bmm__span *span, uint32_t head, uint32_t count, uint64_t *is_free)
{
    uint32_t in_batch;
    for (uint32_t i = 0; i < count && head != 0 && head <= span->slot_count; i += in_batch + 1) {
        uintptr_t address = bmm__load_relaxed(&span->start) + (uintptr_t)(head - 1) * span->list.slot_bytes;
        struct bmm__slot_link *slot = (struct bmm__slot_link *)address; /* NOLINT */
        if (bmm__page_map_find(address) != span)                        /* it is another's by now, with larger slots */
            return;
        mark_index(span, head - 1, is_free);
        head = bmm__batch_read(slot, &in_batch);
        for (uint32_t k = 0; k < in_batch && k < bmm__batch_room(span->list.slot_bytes); k++)
            mark_index(span, bmm__load_relaxed(&bmm__batch_others(slot)[k]), is_free);
    }
}

/* The entries of an outbox that may have slots of the span: those of its two lists (heap.h, H1), and how many those are. */
static unsigned find_boxes(struct bmm__heap *heap, struct bmm__span *span, const struct bmm__outbox *boxes[2])
{
    unsigned count = 0;
    const struct bmm__heap *owner = bmm__load_acquire(&span->heap);
    const struct bmm__outbox *own = bmm__remote_box(heap, bmm__remote_key(&span->list)), *shown = own;
    if (owner != NULL && span->class_index < BMM__CLASS_COUNT)
        shown = bmm__remote_box(heap, bmm__remote_key(&owner->lists[span->class_index].list));
    if (bmm__load_acquire(&own->span) == span)
        boxes[count++] = own;
    if (shown != own && bmm__load_acquire(&shown->span) == span)
        boxes[count++] = shown;
    return count;
}

/* Freed by other threads: taken over but for the list, in the remote word, or still in an outbox. */
static void mark_remote(struct bmm__span *span, uint64_t word, uint64_t *is_free)
{
    mark_chain(span, bmm__load_relaxed(&span->waiting), bmm__load_relaxed(&span->waiting_count), is_free);
    mark_chain(span, BMM__REMOTE_HEAD(word), BMM__REMOTE_COUNT(word), is_free);
    for (struct bmm__heap *heap = bmm__heap_pool_all(); heap != NULL; heap = heap->all_next) {
        const struct bmm__outbox *boxes[2];
        for (unsigned k = find_boxes(heap, span, boxes); k-- != 0;) {
            uint32_t count = bmm__load_acquire(&boxes[k]->count);
            for (uint32_t i = 0; i < count && i < BMM__BATCH_SLOTS_MAX; i++)
                mark_index(span, bmm__load_relaxed(&boxes[k]->slots[i]), is_free);
        }
    }
}

/* Whether a batch for the span has left an outbox, and not arrived. */
static bool is_any_on_its_way(const struct bmm__span *span)
{
    for (struct bmm__heap *heap = bmm__heap_pool_all(); heap != NULL; heap = heap->all_next)
        if (bmm__load_acquire(&heap->sending) == span)
            return true;
    return false;
}

void bmm__look_begin(void)
{
    struct bmm__heap *heap = bmm__thread_heap_if_any();
    if (heap != NULL)
        heap->is_looking = 1;
    bmm__signal_fence();
    bmm__add_acq_rel(&bmm__arena_lookers, 1u);
    bmm__full_fence();
}

void bmm__look_end(void)
{
    struct bmm__heap *heap = bmm__thread_heap_if_any();
    bmm__sub_acq_rel(&bmm__arena_lookers, 1u);
    bmm__signal_fence();
    if (heap != NULL)
        heap->is_looking = 0;
}

void bmm__look_fork_child(void)
{
    const struct bmm__heap *heap = bmm__thread_heap_if_any();
    uint32_t lookers = bmm__load_relaxed(&bmm__arena_lookers);
    bmm__store_relaxed(&bmm__arena_lookers, heap != NULL ? heap->is_looking : lookers != 0);
}

static void mark_free(struct bmm__span *span, uint64_t word, uint64_t *is_free)
{
#ifdef BMM_SECURE /* knows of each */
    (void)word, (void)mark_local, (void)mark_remote;
    for (uint32_t i = 0; i < span->slot_count; i++)
        if (!bmm__secure_is_used(&span->list, i))
            mark_index(span, i, is_free);
#else
    bmm__look_begin();
    mark_local(span, is_free);
    mark_remote(span, word, is_free);
    bmm__look_end();
#endif
}

/* Whether what was found beside the word is all there is. A batch that left its outbox before that was looked at is on its way still,
 * or has changed the word. */
static bool is_settled(const struct bmm__span *span, uint64_t word)
{
#ifdef BMM_SECURE /* has one place for each slot */
    (void)span, (void)word, (void)is_any_on_its_way;
    return true;
#else
    bmm__acquire_fence();
    return !is_any_on_its_way(span) && bmm__load_relaxed(&span->remote) == word;
#endif
}

/* Looks until nothing has moved meanwhile, some times. False: something always has. */
static bool mark_all(struct bmm__span *span, uint64_t *is_free)
{
    for (unsigned i = 0; i < LOOKS_MAX; i++) {
        uint64_t word = bmm__load_acquire(&span->remote);
        bool is_claimed = BMM__REMOTE_STATE(word) == BMM__REMOTE_CLAIMED; /* then nothing in it is live */
        memset(is_free, is_claimed ? 0xff : 0, SLOTS_MAX / 8);
        if (is_claimed)
            return true;
        mark_free(span, word, is_free);
        if (is_settled(span, word))
            return true;
        if (i < QUICK_LOOKS)
            bmm__pause();
        else
            bmm__os_nap();
    }
    return false;
}

bool bmm__visit_is_in_use(struct bmm__span *span, uint32_t index, bool *is_certain)
{
    *is_certain = true;
    if (index >= bmm__load_relaxed(&span->extended))
        return false;
#ifdef BMM_SECURE
    (void)mark_all;
    if (BMM__REMOTE_STATE(bmm__load_acquire(&span->remote)) == BMM__REMOTE_CLAIMED)
        return false;
    return bmm__secure_is_used(&span->list, index);
#else
    uint64_t is_free[SLOTS_MAX / 64];
    *is_certain = mark_all(span, is_free);
    if (!*is_certain)
        return true; /* for all that is known */
    return (is_free[index / 64] >> index % 64 & 1) == 0;
#endif
}

#ifndef BMM_SECURE
static uint32_t waiting_in_outboxes(struct bmm__span *span)
{
    uint32_t count = 0;
    for (struct bmm__heap *heap = bmm__heap_pool_all(); heap != NULL; heap = heap->all_next) {
        const struct bmm__outbox *boxes[2];
        for (unsigned k = find_boxes(heap, span, boxes); k-- != 0;)
            count += bmm__load_relaxed(&boxes[k]->count);
    }
    return count;
}
#endif

static uint32_t count_in_use(struct bmm__span *span, uint64_t word)
{
    uint64_t is_free[SLOTS_MAX / 64] = { 0 };
    uint32_t extended = bmm__load_relaxed(&span->extended), free_count = 0;
    mark_free(span, word, is_free);
    for (uint32_t i = 0; i < (extended + 63) / 64; i++) {
        uint64_t beyond = (i + 1) * 64 <= extended ? 0 : ~0ull << extended % 64;
        free_count += (uint32_t)__builtin_popcountll(is_free[i] & ~beyond);
    }
    return extended - free_count;
}

uint32_t bmm__visit_live_count(struct bmm__span *span)
{
    uint64_t word = bmm__load_acquire(&span->remote);
    unsigned state = BMM__REMOTE_STATE(word);
    if (state == BMM__REMOTE_CLAIMED)
        return 0;
#ifndef BMM_SECURE
    if (state != BMM__REMOTE_CURRENT) { /* P2 */
        uint32_t extended = bmm__load_relaxed(&span->extended);
        uint32_t live = bmm__load_relaxed(&span->list.countdown) + bmm__load_relaxed(&span->bias);
        uint32_t freed = BMM__REMOTE_COUNT(word) + waiting_in_outboxes(span);
        live = live < freed ? 0 : live - freed; /* it may change meanwhile */
        return live < extended ? live : extended;
    }
#endif
    return count_in_use(span, word);
}

bool bmm__visit_span(struct bmm__span *span, bmm__visitor *visit, void *context)
{
    uint64_t is_free[SLOTS_MAX / 64];
    bool is_certain = mark_all(span, is_free);
    uintptr_t start = span->start;
    uint32_t slot_bytes = span->list.slot_bytes;
    uint32_t count = span->extended < span->slot_count ? span->extended : span->slot_count;
    for (uint32_t i = 0; i < count; i++)
        if ((is_free[i / 64] >> i % 64 & 1) == 0 &&
            !visit(start + (uintptr_t)i * slot_bytes, slot_bytes, is_certain, context))
            return false;
    return true;
}

/* The visitor may have the area end, and its descriptor become another's. */
static bool is_area(const struct bmm__span *span, uintptr_t start)
{
    return bmm__load_acquire(&span->kind) == BMM__SPAN_RUNS && span->start == start &&
           bmm__load_acquire(&span->area) != NULL;
}

static bool visit_runs(const struct bmm__span *span, bmm__visitor *visit, void *context)
{
    uintptr_t start = span->start, end = start + span->span_bytes;
    for (uintptr_t at = start; at < end && is_area(span, start);) {
        struct bmm__page_run run = bmm__page_run_find(span, at);
        if (!run.is_free && !visit(run.start, run.bytes, true, context))
            return false;
        at = run.start + run.bytes;
    }
    return true;
}

void bmm__core_visit_blocks(bmm__visitor *visit, void *context)
{
    bool goes_on = true;
    for (struct bmm__span *span = bmm__span_first(); span != NULL && goes_on; span = span->all_next) {
        uint8_t kind = bmm__load_acquire(&span->kind);
        if (kind == BMM__SPAN_UNUSED || !bmm__page_map_has(span))
            continue;
        if (kind == BMM__SPAN_SLOTS && bmm__load_acquire(&span->inverse) != 0)
            goes_on = bmm__visit_span(span, visit, context);
        else if (kind == BMM__SPAN_RUNS)
            goes_on = visit_runs(span, visit, context);
        else if (kind == BMM__SPAN_BIG || kind == BMM__SPAN_LARGE)
            goes_on = visit(span->start, span->span_bytes, true, context);
    }
}
