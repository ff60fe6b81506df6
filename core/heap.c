#include "core/heap.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/os.h"

#define EXTEND_BYTES 4096u

struct bmm__span bmm__empty_span = { .countdown = BMM__COUNTDOWN_NEVER };

static void set_current(struct bmm__heap *heap, unsigned class_index, struct bmm__span *span)
{
    heap->current[class_index] = span;
    if ((heap->token & 1) != 0)
        return;
    size_t bytes = bmm__class_bytes(class_index);
    if (bytes > BMM__DIRECT_BYTES_MAX)
        return;
    size_t below = class_index == 0 ? 0 : bmm__class_bytes(class_index - 1) / 16 + 1;
    for (size_t i = below; i <= bytes / 16; i++)
        heap->direct[i] = span;
}

static void list_append(struct bmm__heap *heap, struct bmm__span *span)
{
    unsigned index = span->class_index;
    span->next = NULL;
    span->prev = heap->last[index];
    *(heap->last[index] != NULL ? &heap->last[index]->next : &heap->first[index]) = span;
    heap->last[index] = span;
    span->is_listed = 1;
}

static void list_remove(struct bmm__heap *heap, struct bmm__span *span)
{
    unsigned index = span->class_index;
    *(span->prev != NULL ? &span->prev->next : &heap->first[index]) = span->next;
    *(span->next != NULL ? &span->next->prev : &heap->last[index]) = span->prev;
    span->is_listed = 0;
}

static struct bmm__slot_link *slot_at(const struct bmm__span *span, uint32_t index)
{
    return (struct bmm__slot_link *)(span->start + (uintptr_t)index * span->slot_bytes); /* NOLINT */
}

/* The remote word of an owned span with nothing on its list. */
static uint64_t owned_word(const struct bmm__span *span)
{
    return (uint64_t)span->epoch << 32;
}

/* Empties the remote list and returns the word that was there (P5). */
static uint64_t take_remote(struct bmm__span *span)
{
    span->epoch++;
    return bmm__exchange_acq_rel(&span->remote, owned_word(span));
}

/* Takes the remote list over: each freed slot holds the index + 1 of the next in its first word. Returns its length. */
static uint32_t splice(struct bmm__span *span, uint64_t word)
{
    uint32_t count = 0;
    for (uint32_t head = BMM__REMOTE_HEAD(word); head != 0; count++) {
        struct bmm__slot_link *slot = slot_at(span, head - 1);
        head = (uint32_t)(uintptr_t)slot->next;
        slot->next = span->free;
        span->free = slot;
    }
    return count;
}

/* Puts slots that were never used on the free list: about an OS page of them, so that memory is touched in order. */
static void extend(struct bmm__span *span)
{
    uint32_t count = EXTEND_BYTES / span->slot_bytes;
    uint32_t room = span->slot_count - span->extended;
    count = count == 0 ? 1 : count;
    count = count > room ? room : count;
    struct bmm__slot_link *next = span->free;
    for (uint32_t i = span->extended + count; i-- > span->extended;) {
        struct bmm__slot_link *slot = slot_at(span, i);
        slot->next = next;
        next = slot;
    }
    span->free = next;
    span->extended += count;
}

/* True if the current span has a free slot again; false if it was let go as full. */
static bool refill(struct bmm__heap *heap, struct bmm__span *span)
{
    span->countdown = BMM__COUNTDOWN_NEVER;
    for (;;) {
        uint64_t word = bmm__load_relaxed(&span->remote);
        if (BMM__REMOTE_COUNT(word) != 0)
            splice(span, take_remote(span));
        if (span->free == NULL && span->extended < span->slot_count)
            extend(span);
        if (span->free != NULL)
            return true;
        bmm__store_relaxed(&span->owner, 0);
        word = owned_word(span);
        if (bmm__cas_acq_rel(&span->remote, &word,
                             word | BMM__REMOTE_FULL)) /* release: the next owner sees our fields */
            return false;
        bmm__store_relaxed(&span->owner, heap->token);
    }
}

static void release(struct bmm__span *span)
{
    bmm__span_close(span);
    bmm__span_free(span);
}

static struct bmm__span *next_span(struct bmm__heap *heap, unsigned class_index)
{
    for (struct bmm__span *span; (span = heap->first[class_index]) != NULL;) {
        list_remove(heap, span);
        bmm__store_relaxed(&span->countdown, BMM__COUNTDOWN_NEVER);
        uint64_t word = take_remote(span);
        if (BMM__REMOTE_STATE(word) == BMM__REMOTE_CLAIMED) {
            bmm__span_free(span);
            continue;
        }
        splice(span, word);
        return span;
    }
    uint32_t slot_bytes = bmm__class_bytes(class_index);
    struct bmm__span *span =
        bmm__span_open(slot_bytes > 4096 ? 8 * BMM__GRANULE : BMM__GRANULE, BMM__SPAN_SLOTS, slot_bytes, class_index);
    if (span != NULL) {
        span->heap = heap;
        bmm__store_relaxed(&span->owner, heap->token);
    }
    return span;
}

void *bmm__heap_alloc(struct bmm__heap *heap, unsigned class_index)
{
    struct bmm__span *span = heap->current[class_index];
    while (span->free == NULL) {
        if (span == &bmm__empty_span || !refill(heap, span)) {
            set_current(heap, class_index, &bmm__empty_span);
            span = next_span(heap, class_index);
            if (span == NULL)
                return NULL;
            set_current(heap, class_index, span);
            if (span->free == NULL && !refill(heap, span))
                span = &bmm__empty_span;
        }
    }
    struct bmm__slot_link *slot = span->free;
    span->free = slot->next;
    return slot;
}

void bmm__heap_span_emptied(struct bmm__span *span)
{
    if (!span->is_listed) { /* a current span, after a thousand million frees without a slow allocation */
        span->countdown = BMM__COUNTDOWN_NEVER;
        return;
    }
    list_remove(span->heap, span);
    release(span);
}

/* P3: others freed every live slot of a span whose owner may sleep for ever. */
static void try_claim(struct bmm__span *span, uint64_t word)
{
    uint32_t count = BMM__REMOTE_COUNT(word);
    if (BMM__REMOTE_STATE(word) == BMM__REMOTE_FULL) {
        if (count == span->slot_count && bmm__cas_acq_rel(&span->remote, &word, BMM__REMOTE_CLAIMED))
            release(span);
    } else if (bmm__load_relaxed(&span->countdown) == count &&
               bmm__cas_acq_rel(&span->remote, &word, BMM__REMOTE_CLAIMED)) {
        bmm__span_close(span);
    }
}

static void free_remote(struct bmm__heap *heap, struct bmm__span *span, struct bmm__slot_link *slot)
{
    uint32_t index = (uint32_t)(((uintptr_t)slot - span->start) / span->slot_bytes);
    uint64_t word = bmm__load_relaxed(&span->remote);
    for (;;) {
        if (BMM__REMOTE_STATE(word) == BMM__REMOTE_FULL && heap != NULL) {
            uint32_t epoch = BMM__REMOTE_EPOCH(word) + 1;
            if (!bmm__cas_weak_acq_rel(&span->remote, &word, (uint64_t)epoch << 32))
                continue;
            span->epoch = epoch;
            span->heap = heap;
            bmm__store_relaxed(&span->owner, heap->token);
            uint32_t freed = splice(span, word) + 1;
            slot->next = span->free;
            span->free = slot;
            bmm__store_relaxed(&span->countdown, span->slot_count - freed);
            if (freed == span->slot_count)
                release(span);
            else
                list_append(heap, span);
            return;
        }
        slot->next = (struct bmm__slot_link *)(uintptr_t)BMM__REMOTE_HEAD(word); /* NOLINT */
        uint64_t pushed = ((uint64_t)(index + 1) << 16) | ((word & ~0xffff0000ull) + 4);
        if (bmm__cas_weak_acq_rel(&span->remote, &word, pushed)) { /* release: the collector sees the link */
            try_claim(span, pushed);
            return;
        }
    }
}

void bmm__heap_free(struct bmm__heap *heap, struct bmm__span *span, void *slot)
{
    if (heap == NULL || bmm__load_relaxed(&span->owner) != heap->token) {
        free_remote(heap, span, slot);
        return;
    }
    struct bmm__slot_link *link = slot;
    link->next = span->free;
    span->free = link;
    if (bmm__single_writer_decrement(&span->countdown))
        bmm__heap_span_emptied(span);
}

bool bmm__heap_minimize(struct bmm__heap *heap)
{
    bool has_released = false;
    for (unsigned index = 0; index < BMM__CLASS_COUNT; index++) {
        struct bmm__span *current = heap->current[index];
        if (current != &bmm__empty_span) { /* goes to the available list, with its live count found by counting */
            splice(current, take_remote(current));
            uint32_t live = current->extended;
            for (struct bmm__slot_link *slot = current->free; slot != NULL; slot = slot->next)
                live--;
            set_current(heap, index, &bmm__empty_span);
            if (live == 0) {
                release(current);
                has_released = true;
            } else {
                bmm__store_relaxed(&current->countdown, live);
                list_append(heap, current);
            }
        }
        for (struct bmm__span *span = heap->first[index], *next; span != NULL; span = next) {
            next = span->next;
            uint32_t live = span->countdown;
            bmm__store_relaxed(&span->countdown, BMM__COUNTDOWN_NEVER); /* nobody claims while we look */
            uint64_t word = take_remote(span);
            if (BMM__REMOTE_STATE(word) == BMM__REMOTE_CLAIMED) {
                list_remove(heap, span);
                bmm__span_free(span);
                continue;
            }
            live -= splice(span, word);
            bmm__store_relaxed(&span->countdown, live);
            if (live == 0) {
                bmm__heap_span_emptied(span);
                has_released = true;
            } else if (BMM__REMOTE_COUNT(bmm__load_relaxed(&span->remote)) == live) {
                try_claim(span, bmm__load_relaxed(&span->remote));
            }
        }
    }
    return has_released;
}
