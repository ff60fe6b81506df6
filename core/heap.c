#include "core/heap.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/os.h"
#include "core/purge.h"

#define EXTEND_BYTES 4096u
#define HEARTBEAT 65536u /* local frees of a current span between two looks at the clock */
#define SELDOM_MS 10u

void bmm__heap_init(struct bmm__heap *heap, bool has_client)
{
    for (size_t i = 0; i < BMM__DIRECT_COUNT; i++)
        heap->direct[i] = &bmm__empty_span;
    for (size_t i = 0; i < BMM__CLASS_COUNT - BMM__DIRECT_CLASS_COUNT; i++)
        heap->shown[i] = &bmm__empty_span;
    heap->token = (uintptr_t)heap | has_client;
}

static bool is_none(const struct bmm__span *span)
{
    return span == NULL || span == &bmm__empty_span;
}

/* Lets the fast path see the span for its class (H1). */
static void show(struct bmm__heap *heap, unsigned class_index, struct bmm__span *span)
{
    if ((heap->token & 1) != 0 || class_index >= BMM__CLASS_COUNT)
        return;
    if (class_index >= BMM__DIRECT_CLASS_COUNT) {
        heap->shown[class_index - BMM__DIRECT_CLASS_COUNT] = span;
        return;
    }
    size_t last = bmm__class_bytes(class_index) / 16;
    size_t first = class_index == 0 ? 0 : bmm__class_bytes(class_index - 1) / 16 + 1;
    if (heap->direct[last] != span)
        for (size_t i = first; i <= last; i++)
            heap->direct[i] = span;
}

/* From now on the first allocation of each class is a slow one. */
static void hide_all(struct bmm__heap *heap)
{
    for (size_t i = 0; i < BMM__DIRECT_COUNT; i++)
        heap->direct[i] = &bmm__empty_span;
    for (size_t i = 0; i < BMM__CLASS_COUNT - BMM__DIRECT_CLASS_COUNT; i++)
        heap->shown[i] = &bmm__empty_span;
    heap->is_hidden = 1;
}

/* While memory waits to be purged, a thread that allocates seldom does so slowly, so that it passes by the clock. */
static void show_or_wait(struct bmm__heap *heap, unsigned class_index, struct bmm__span *span)
{
    if (BMM__UNLIKELY(bmm__purge_is_pending())) {
        uint64_t now = bmm__os_clock_coarse_ms(), before = heap->slow_ms;
        heap->slow_ms = now;
        bmm__purge_tick();
        if (now - before >= SELDOM_MS)
            return;
    }
    show(heap, class_index, span);
    heap->is_hidden = 0;
}

static void begin(struct bmm__heap *heap)
{
    bmm__store_relaxed(&heap->is_busy, 1);
    bmm__signal_fence();
}

static void end(struct bmm__heap *heap)
{
    bmm__signal_fence();
    bmm__store_relaxed(&heap->is_busy, 0);
}

static void list_append(struct bmm__heap *heap, struct bmm__span *span)
{
    struct bmm__heap_class *class = &heap->classes[span->class_index];
    span->next = NULL;
    span->prev = class->last;
    *(class->last != NULL ? &class->last->next : &class->first) = span;
    class->last = span;
    span->is_listed = 1;
    heap->align_sets |= (uint16_t)(1u << span->class_index / BMM__CLASS_COUNT);
}

static void list_remove(struct bmm__heap *heap, struct bmm__span *span)
{
    struct bmm__heap_class *class = &heap->classes[span->class_index];
    *(span->prev != NULL ? &span->prev->next : &class->first) = span->next;
    *(span->next != NULL ? &span->next->prev : &class->last) = span->prev;
    span->is_listed = 0;
}

static struct bmm__slot_link *slot_at(const struct bmm__span *span, uint32_t index)
{
    return (struct bmm__slot_link *)(span->start + (uintptr_t)index * span->slot_bytes); /* NOLINT */
}

/* The remote word of a span with nothing on its list. */
static uint64_t empty_word(const struct bmm__span *span, unsigned state)
{
    return (uint64_t)span->epoch << 32 | state;
}

/* Empties the remote list and returns the word that was there (P5). */
static uint64_t take_remote(struct bmm__span *span, unsigned state)
{
    span->epoch++;
    return bmm__exchange_acq_rel(&span->remote, empty_word(span, state));
}

/* Takes the remote list over: each freed slot holds the index + 1 of the next in its first word. Returns its length. */
static uint32_t splice(struct bmm__span *span, uint64_t word)
{
    uint32_t count = 0;
    for (uint32_t head = BMM__REMOTE_HEAD(word); head != 0; count++) {
        struct bmm__slot_link *slot = slot_at(span, head - 1);
        head = (uint32_t)(uintptr_t)bmm__load_relaxed(&slot->next);
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
static bool refill(struct bmm__span *span)
{
    for (;;) {
        bmm__store_relaxed(&span->countdown, HEARTBEAT);
        if (BMM__REMOTE_COUNT(bmm__load_relaxed(&span->remote)) != 0)
            splice(span, take_remote(span, BMM__REMOTE_CURRENT));
        if (span->free == NULL && span->extended < span->slot_count)
            extend(span);
        if (span->free != NULL)
            return true;
        bmm__store_relaxed(&span->bias, span->slot_count - 1);
        bmm__store_relaxed(&span->countdown, 1u); /* the next local free says that it is full no more */
        uint64_t word = empty_word(span, BMM__REMOTE_CURRENT);
        /* release: who claims sees countdown and bias */
        if (bmm__cas_acq_rel(&span->remote, &word, empty_word(span, BMM__REMOTE_FULL)))
            return false;
    }
}

static void release(struct bmm__heap *heap, struct bmm__span *span)
{
    bmm__span_close(span, true);
    bmm__span_free(span);
    if (bmm__purge_is_pending()) {
        bmm__purge_tick();
        if (heap != NULL && !heap->is_hidden)
            hide_all(heap);
    }
}

static size_t span_bytes(size_t slot_bytes)
{
    return slot_bytes > 4096 ? 8 * BMM__GRANULE : BMM__GRANULE;
}

static struct bmm__span *open_span(struct bmm__heap *heap, unsigned class_index)
{
    uint32_t slot_bytes = bmm__class_bytes(class_index % BMM__CLASS_COUNT);
    bool is_zero;
    struct bmm__span *span = bmm__span_open(span_bytes(slot_bytes), BMM__GRANULE, BMM__SPAN_SLOTS, &is_zero);
    if (span == NULL)
        return NULL;
    span->slot_bytes = slot_bytes;
    bmm__store_relaxed(&span->slot_count, (uint32_t)(span->span_bytes / slot_bytes));
    span->inverse = UINT64_MAX / slot_bytes + 1;
    span->class_index = (uint16_t)class_index;
    span->align_shift = (uint8_t)(BMM__ALIGN_SHIFT_MIN + class_index / BMM__CLASS_COUNT);
    span->heap = heap;
    heap->align_sets |= (uint16_t)(1u << class_index / BMM__CLASS_COUNT);
    bmm__store_relaxed(&span->remote, empty_word(span, BMM__REMOTE_CURRENT));
    bmm__store_relaxed(&span->owner, heap->token);
    return span;
}

/* The live count goes from countdown + bias to countdown alone (P2). */
static void set_live(struct bmm__span *span, uint32_t live)
{
    bmm__store_relaxed(&span->countdown, live);
    bmm__store_release(&span->bias, 0u); /* release: who sees it sees countdown */
}

/* Lists what others freed into while it was full. */
static void list_ready(struct bmm__heap *heap)
{
    if (bmm__load_relaxed(&heap->ready) == NULL)
        return;
    for (struct bmm__span *span = bmm__exchange_acq_rel(&heap->ready, NULL), *next; span != NULL; span = next) {
        next = span->next;
        if (BMM__REMOTE_STATE(bmm__load_acquire(&span->remote)) == BMM__REMOTE_CLAIMED) {
            bmm__span_free(span);
            continue;
        }
        if (span->bias != 0)
            set_live(span, span->slot_count);
        list_append(heap, span);
    }
}

/* The oldest available span, or a new one; as current. */
static struct bmm__span *next_span(struct bmm__heap *heap, unsigned class_index)
{
    list_ready(heap);
    for (struct bmm__span *span; (span = heap->classes[class_index].first) != NULL;) {
        list_remove(heap, span);
        uint64_t word = take_remote(span, BMM__REMOTE_CURRENT);
        if (BMM__REMOTE_STATE(word) == BMM__REMOTE_CLAIMED) {
            bmm__span_free(span);
            continue;
        }
        bmm__store_relaxed(&span->countdown, HEARTBEAT);
        splice(span, word);
        return span;
    }
    return open_span(heap, class_index);
}

void *bmm__heap_alloc(struct bmm__heap *heap, unsigned class_index)
{
    struct bmm__heap_class *class = &heap->classes[class_index];
    struct bmm__span *span = class->current;
    begin(heap);
    while (is_none(span) || (span->free == NULL && !refill(span))) {
        class->current = NULL;
        show(heap, class_index, &bmm__empty_span);
        span = next_span(heap, class_index);
        if (span == NULL) {
            end(heap);
            return NULL;
        }
        class->current = span;
    }
    show_or_wait(heap, class_index, span);
    struct bmm__slot_link *slot = span->free;
    span->free = slot->next;
    end(heap);
    return slot;
}

void bmm__heap_countdown_over(struct bmm__span *span)
{
    struct bmm__heap *heap = span->heap;
    if (heap->classes[span->class_index].current == span) {
        bmm__store_relaxed(&span->countdown, HEARTBEAT);
        bmm__purge_tick();
        return;
    }
    begin(heap);
    if (span->is_listed) {
        list_remove(heap, span);
        release(heap, span);
    } else { /* the first local free of a full span */
        set_live(span, span->slot_count - 1);
        uint64_t word = empty_word(span, BMM__REMOTE_FULL);
        if (bmm__cas_acq_rel(&span->remote, &word, empty_word(span, BMM__REMOTE_OWNED)))
            list_append(heap, span); /* else another thread was first: the ready stack has it, or will */
    }
    end(heap);
}

/* P3: others freed every live slot of a span whose owner may sleep for ever. */
static void try_claim(struct bmm__span *span, uint64_t word)
{
    uint32_t bias = bmm__load_acquire(&span->bias); /* before countdown: see set_live */
    if (BMM__REMOTE_STATE(word) == BMM__REMOTE_OWNED &&
        bmm__load_relaxed(&span->countdown) + bias == BMM__REMOTE_COUNT(word) &&
        bmm__cas_acq_rel(&span->remote, &word, (uint64_t)BMM__REMOTE_CLAIMED))
        bmm__span_close(span, true);
}

bool bmm__heap_sweep(unsigned count)
{
    static struct bmm__span *cursor; /* descriptors are for ever (P4) */
    struct bmm__span *span = cursor == NULL ? bmm__span_first() : cursor;
    for (; span != NULL && count != 0; span = span->all_next, count--) {
        uint64_t word = bmm__load_acquire(&span->remote);
        if (bmm__load_acquire(&span->kind) == BMM__SPAN_SLOTS && BMM__REMOTE_COUNT(word) != 0)
            try_claim(span, word);
    }
    cursor = span;
    return span == NULL;
}

static void free_remote(struct bmm__span *span, struct bmm__slot_link *slot)
{
    uint32_t index = bmm__span_index(span, (uintptr_t)slot - span->start);
    uint64_t word = bmm__load_relaxed(&span->remote), pushed;
    do {
        bmm__store_relaxed(&slot->next, (struct bmm__slot_link *)(uintptr_t)BMM__REMOTE_HEAD(word)); /* NOLINT */
        pushed = ((uint64_t)(index + 1) << 16) | ((word & ~0xffff0000ull) + 4);
        if (BMM__REMOTE_STATE(word) == BMM__REMOTE_FULL)
            pushed = (pushed & ~(uint64_t)3) | BMM__REMOTE_OWNED;
    } while (!bmm__cas_weak_acq_rel(&span->remote, &word, pushed)); /* release: the collector sees the link */
    if (BMM__REMOTE_STATE(word) == BMM__REMOTE_FULL) {
        struct bmm__span *first = bmm__load_relaxed(&span->heap->ready);
        do
            span->next = first;
        while (!bmm__cas_weak_acq_rel(&span->heap->ready, &first, span));
    }
    try_claim(span, pushed);
}

void bmm__heap_free(struct bmm__heap *heap, struct bmm__span *span, void *slot)
{
    if (heap == NULL || bmm__load_relaxed(&span->owner) != heap->token) {
        free_remote(span, slot);
        return;
    }
    struct bmm__slot_link *link = slot;
    link->next = span->free;
    span->free = link;
    if (bmm__single_writer_decrement(&span->countdown))
        bmm__heap_countdown_over(span);
}

/* The current span goes to the available list, with its live count found by counting. */
static void retire_current(struct bmm__heap *heap, unsigned class_index)
{
    struct bmm__span *span = heap->classes[class_index].current;
    heap->classes[class_index].current = NULL;
    show(heap, class_index, &bmm__empty_span);
    splice(span, take_remote(span, BMM__REMOTE_CURRENT));
    uint32_t live = span->extended;
    for (struct bmm__slot_link *slot = span->free; slot != NULL; slot = slot->next)
        live--;
    set_live(span, live); /* before the state: from then on others compare with it */
    uint64_t word = bmm__load_relaxed(&span->remote);
    while (!bmm__cas_weak_acq_rel(&span->remote, &word, word & ~(uint64_t)3))
        ;
    list_append(heap, span);
}

/* Collects from one available span; true if it was given back. */
static bool collect(struct bmm__heap *heap, struct bmm__span *span)
{
    uint32_t live = span->countdown;
    uint64_t word = take_remote(span, BMM__REMOTE_CURRENT); /* nobody claims while we look */
    if (BMM__REMOTE_STATE(word) == BMM__REMOTE_CLAIMED) {
        list_remove(heap, span);
        bmm__span_free(span);
        return true;
    }
    live -= splice(span, word);
    if (live == 0) {
        list_remove(heap, span);
        release(heap, span);
        return true;
    }
    bmm__store_relaxed(&span->countdown, live);
    word = bmm__load_relaxed(&span->remote);
    while (!bmm__cas_weak_acq_rel(&span->remote, &word, word & ~(uint64_t)3))
        ;
    try_claim(span, word & ~(uint64_t)3);
    return false;
}

bool bmm__heap_minimize(struct bmm__heap *heap)
{
    bool has_released = false;
    begin(heap);
    list_ready(heap);
    for (unsigned index = 0; index < BMM__HEAP_CLASS_COUNT; index++) {
        if (index % BMM__CLASS_COUNT == 0 && (heap->align_sets >> index / BMM__CLASS_COUNT & 1) == 0) {
            index += BMM__CLASS_COUNT - 1;
            continue;
        }
        if (!is_none(heap->classes[index].current))
            retire_current(heap, index);
        for (struct bmm__span *span = heap->classes[index].first, *next; span != NULL; span = next) {
            next = span->next;
            has_released = collect(heap, span) || has_released;
        }
    }
    end(heap);
    return has_released;
}
