#include "core/heap.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/available.h"
#include "core/heap_object.h"
#include "core/let_go.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/purge.h"
#include "core/refill.h"
#include "core/remote.h"
#include "core/rescue.h"
#include "core/secure_span.h"
#include "core/shown.h"
#include "core/tally.h"
#include "core/window.h"

#define POPULATE_PAGE_MAX BMM__EXTEND_BYTES /* a larger page is as well had by a fault */
#define SPARE_BYTES (4 * BMM__GRANULE)
#define LINE_BYTES ((size_t)64)
#define LIST_AT_ONCE 64u /* spans */
#define COOL_AT_ONCE 4u  /* likewise; with thousands of slots each */

uint32_t bmm__heap_minimize_wish;
bool bmm__heap_has_company;

static uint16_t distance_of(const struct bmm__heap *heap, unsigned class_index)
{
    return (uint16_t)((uintptr_t)&heap->lists[class_index] - (uintptr_t)heap);
}

void bmm__heap_init(struct bmm__heap *heap, bool has_client)
{
    heap->token = (uintptr_t)heap | has_client;
    heap->let_go_next = BMM__CLASS_COUNT;
    if (has_client)
        return; /* nothing is ever shown */
    size_t size = 0, step = 0;
    for (unsigned i = 0; i < BMM__CLASS_COUNT; i++) {
        size_t bytes = bmm__class_bytes(i);
        uint16_t distance = distance_of(heap, i);
        for (; size <= bytes && size <= BMM__SMALL_BYTES_MAX; size++)
            heap->small_list[size] = distance;
        for (; (step + 1) * BMM__MEDIUM_BYTES_STEP <= bytes; step++)
            heap->medium_list[step] = distance;
    }
}

/* True if the current span, whose list this is, has a free slot again; false if it was let go as full. */
static bool refill(struct bmm__bin *bin, struct bmm__span *span, struct bmm__list *list)
{
    for (;;) {
        if (span->waiting == 0 && BMM__REMOTE_COUNT(bmm__load_relaxed(&span->remote)) != 0)
            bmm__refill_await(span, bmm__refill_take(span, BMM__REMOTE_CURRENT));
        uint32_t live = span->extended - span->waiting_count;
        if (span->waiting != 0 || live < span->slot_count) {
            if (span->waiting != 0)
                bmm__refill_splice(span, list); /* one: while its slots are used the next comes to the cache */
            else
                bmm__refill_extend(span, list);
            bmm__let_go_expect(bin, span, list, live, bmm__heartbeat());
            return true;
        }
        bmm__hide(span);
        list = &span->list;
        uint32_t enough = bmm__span_enough(span->slot_count);
        bmm__store_relaxed(&span->bias, (uint16_t)(span->slot_count - enough));
        bmm__store_relaxed(&list->countdown, enough);
        uint64_t word = bmm__refill_empty_word(span, BMM__REMOTE_CURRENT);
        /* release: who claims sees countdown and bias */
        if (bmm__cas_acq_rel(&span->remote, &word, bmm__refill_empty_word(span, BMM__REMOTE_FULL)))
            return false;
    }
}

static void release(struct bmm__heap *heap, struct bmm__span *span)
{
    bmm__span_close(span, true);
    bmm__span_free(span);
    bmm__heap_gave_back(heap);
}

/* Some dozens of slots and more, so that threads do not look for spans all the time; no more, for a span goes back whole
 * or not at all. What is not used of it is never touched. */
static size_t span_bytes(size_t slot_bytes)
{
    if (bmm__load_relaxed(&bmm__window_is_tight)) /* many threads, each with many classes, under a limit */
        return BMM__GRANULE;
    size_t granules = slot_bytes <= 192     ? 1
                      : slot_bytes <= 768   ? 2
                      : slot_bytes <= 8192  ? 4
                      : slot_bytes <= 16384 ? 8
                                            : 12;
    return granules * BMM__GRANULE;
}

/* What slots leave over of a span lies in front of them, in whole cache lines: else the first blocks of many classes, and with them
 * what programs use most, would begin where a page does. A processor takes a load at the same place in another page for one of what was just
 * stored, and waits (Perl on an AMD EPYC: a fifth of its time). */
static size_t lead_bytes(const struct bmm__span *span, uint32_t slot_bytes)
{
    size_t unit = (size_t)1 << span->align_shift;
    unit = unit < LINE_BYTES ? LINE_BYTES : unit;
    return span->span_bytes % slot_bytes / unit * unit;
}

static struct bmm__span *open_span(struct bmm__heap *heap, unsigned class_index, bool is_next)
{
    uint32_t slot_bytes = bmm__class_bytes(class_index % BMM__CLASS_COUNT);
    if (heap->bins[class_index].busy != 0)
        bmm__let_go_is_time(&heap->bins[class_index], bmm__os_clock_coarse_ms());
    bool is_zero;
    struct bmm__span *span = bmm__span_open(span_bytes(slot_bytes), BMM__GRANULE, BMM__SPAN_SLOTS, &is_zero);
    if (span == NULL)
        return NULL;
    span->list.slot_bytes = slot_bytes;
    bool is_alone = !bmm__load_relaxed(&bmm__heap_has_company);
    bool is_fresh = is_alone && is_zero && bmm__os_page_bytes() <= POPULATE_PAGE_MAX;
    bmm__store_relaxed(&span->use,
                       (uint8_t)((is_fresh ? BMM__SPAN_IS_FRESH : 0) | (is_next && is_alone ? BMM__SPAN_IS_NEXT : 0)));
    bmm__store_relaxed(&span->slot_count, (uint32_t)(span->span_bytes / slot_bytes));
    span->class_index = (uint16_t)class_index;
    span->align_shift = (uint8_t)(BMM__ALIGN_SHIFT_MIN + class_index / BMM__CLASS_COUNT);
    bmm__store_relaxed(&span->start, span->start + lead_bytes(span, slot_bytes)); /* a walk may look already */
    bmm__store_release(&span->heap, heap);
    bmm__tally_add_class(class_index % BMM__CLASS_COUNT, span->span_bytes);
    if (heap->object != NULL && !bmm__object_add_span(heap->object, span)) {
        bmm__span_close(span, !is_zero);
        bmm__span_free(span);
        return NULL;
    }
    uint64_t inverse = UINT64_MAX / slot_bytes + 1;
    bmm__secure_open(span, inverse);
    bmm__store_release(&span->inverse, inverse); /* now it can be walked */
    heap->align_sets |= (uint16_t)(1u << class_index / BMM__CLASS_COUNT);
    bmm__store_relaxed(&span->remote, bmm__refill_empty_word(span, BMM__REMOTE_CURRENT));
    bmm__store_relaxed(&span->list.countdown, BMM__HEARTBEAT_PENDING);
    bmm__store_relaxed(&span->bias, (uint16_t)0);
    bmm__store_relaxed(&span->list.owner, heap->token);
    span->entries = bmm__page_map_entry(span->start);
    bmm__shown_enter(span, &span->list);
    return span;
}

/* The owner took the remote word of a span that it will not meet again; true if another thread had claimed it. Then, unless that
 * one is done, the descriptor may be another span's already. */
static bool is_claimed(struct bmm__heap *heap, struct bmm__span *span, uint64_t taken)
{
    if (BMM__REMOTE_STATE(taken) != BMM__REMOTE_CLAIMED)
        return false;
    if (heap->object != NULL)
        bmm__object_drop_span(heap->object, span);
    if ((taken & BMM__REMOTE_DONE) != 0)
        bmm__span_free(span); /* else the claimer does */
    return true;
}

__attribute__((noinline)) bool bmm__heap_recover_from_others(struct bmm__heap *heap, struct bmm__span *span)
{
    unsigned class_index = span->class_index;
    bmm__store_relaxed(&span->listed, (uint8_t)BMM__LISTED_NOT); /* seen by who sees the new epoch */
    if (span->waiting != 0) {
        span->epoch++;
        if (BMM__REMOTE_STATE(bmm__add_acq_rel(&span->remote, (uint64_t)1 << 32)) != BMM__REMOTE_CLAIMED)
            return true;
    }
    uint64_t word = bmm__refill_take(span, BMM__REMOTE_CURRENT);
    if (BMM__REMOTE_STATE(word) != BMM__REMOTE_CLAIMED) {
        bmm__refill_await(span, word);
        return true;
    }
    /* From the exchange on not even the descriptor is ours. The list that stood for its own is empty. */
    heap->bins[class_index].current = NULL;
    is_claimed(heap, span, word);
    return false;
}

/* After a slot was taken from the current span: if there is no other, they may, for the owner changes nothing of what P7 names before
 * he comes to bmm__heap_recover(). Not while batches wait: then others free as he allocates, and each time both would want the remote word. */
static void open_to_others(const struct bmm__heap *heap, struct bmm__span *span)
{
    bool has_lock = heap->object != NULL; /* which a sweep does not take */
    if (bmm__load_relaxed(&bmm__heap_has_company) && span->waiting == 0 && bmm__let_go_is_worth_it(span) && !has_lock)
        bmm__store_release(&span->listed, (uint8_t)BMM__LISTED_OPEN); /* release: who sees it sees what is in use */
}

/* Takes some of the ready stack; the first of them becomes the last. */
static struct bmm__span *take_ready(struct bmm__heap *heap)
{
    if (heap->unlisted == NULL)
        heap->unlisted = bmm__exchange_acq_rel(&heap->ready, NULL);
    struct bmm__span *reversed = NULL;
    for (unsigned i = 0; i < LIST_AT_ONCE && heap->unlisted != NULL; i++) {
        struct bmm__span *span = heap->unlisted;
        heap->unlisted = span->next;
        bmm__store_relaxed(&span->next, reversed);
        reversed = span;
    }
    return reversed;
}

static __attribute__((noinline)) bool list_some(struct bmm__heap *heap)
{
    for (struct bmm__span *span = take_ready(heap), *next; span != NULL; span = next) {
        next = span->next;
        if (BMM__REMOTE_STATE(bmm__load_acquire(&span->remote)) == BMM__REMOTE_CLAIMED &&
            is_claimed(heap, span, bmm__refill_take(span, BMM__REMOTE_CURRENT)))
            continue;
        if (span->bias != 0)
            bmm__available_set_live(span, span->list.countdown + span->bias);
        bmm__available_prepend(heap, span);
    }
    return heap->unlisted == NULL;
}

/* Lists what others freed into while it was full, or some of it: a thread that has slept may find a million. True: all. */
static bool list_ready(struct bmm__heap *heap)
{
    return (heap->unlisted == NULL && bmm__load_relaxed(&heap->ready) == NULL) || list_some(heap);
}

/* Between begin and end. */
static void fulfil_wish(struct bmm__heap *heap)
{
    uint32_t wish = bmm__load_relaxed(&bmm__heap_minimize_wish);
    if (BMM__LIKELY(heap->minimized == wish))
        return;
    heap->minimized = wish;
    bmm__heap_minimize(heap);
    bmm__heap_begin(heap);
}

/* The first available span, as current. */
static struct bmm__span *take_available(struct bmm__heap *heap, unsigned class_index)
{
    struct bmm__bin *bin = &heap->bins[class_index];
    struct bmm__span *span;
    list_ready(heap);
    for (unsigned gone = 0; (span = bin->first) != NULL && gone < LIST_AT_ONCE; gone++) {
        bmm__available_remove(heap, span);
        uint64_t word = bmm__refill_take(span, BMM__REMOTE_CURRENT);
        if (is_claimed(heap, span, word))
            continue;
        bmm__let_go_expect_nothing(bin, span, bmm__heartbeat());
        bmm__refill_await(span, word);
        return span;
    }
    return NULL;
}

/* The first available span, or a new one, or, where there is none to be had, a full one with a free slot; as current. */
static __attribute__((noinline)) struct bmm__span *next_span(struct bmm__heap *heap, unsigned class_index)
{
    struct bmm__bin *bin = &heap->bins[class_index];
    bool is_next = bin->current != NULL;
    bin->current = NULL; /* it is full */
    fulfil_wish(heap);
    struct bmm__span *span = take_available(heap, class_index);
    if (span == NULL)
        span = open_span(heap, class_index, is_next);
    if (BMM__LIKELY(span != NULL))
        return span;
    while (!list_ready(heap))
        ;
    bmm__rescue(heap, class_index);
    do
        span = take_available(heap, class_index);
    while (span == NULL && bin->first != NULL);
    return span;
}

void *bmm__heap_alloc(struct bmm__heap *heap, unsigned class_index)
{
    struct bmm__bin *bin = &heap->bins[class_index];
    struct bmm__list *shown = bmm__shown_list_of(heap, class_index);
    bmm__heap_begin(heap);
    bmm__heap_pass_by(heap); /* first: it may let current spans go */
    struct bmm__span *span = bin->current;
    struct bmm__list *list = span != NULL && !span->is_shown ? &span->list : shown;
    if (span != NULL && !bmm__heap_recover(heap, span))
        span = NULL;
    while (span == NULL || (bmm__list_is_empty(list) && !refill(bin, span, list))) {
        span = bin->current = next_span(heap, class_index);
        if (span == NULL) {
            bmm__heap_end(heap);
            return NULL;
        }
        list = &span->list;
    }
    if (heap->watch == 0)
        bmm__show(heap, span);
    list = span->is_shown ? shown : &span->list;
    struct bmm__slot_link *slot = bmm__list_take(list);
    if (bmm__list_is_empty(list))
        open_to_others(heap, span);
    bmm__heap_end(heap);
    return slot;
}

/* Enough slots of a full span were freed by its owner. */
static void become_available(struct bmm__heap *heap, struct bmm__span *span)
{
    bmm__available_set_live(span, span->slot_count - bmm__span_enough(span->slot_count));
    uint64_t word = bmm__load_relaxed(&span->remote);
    while (BMM__REMOTE_STATE(word) == BMM__REMOTE_FULL) /* else others were first: the ready stack has it, or will */
        if (bmm__cas_weak_seq_cst(&span->remote, &word, (word & ~(uint64_t)3) | BMM__REMOTE_OWNED)) {
            bmm__available_append(heap, span);
            if (BMM__REMOTE_COUNT(word) != 0 && bmm__remote_try_claim(span, word & ~(uint64_t)3))
                bmm__heap_gave_back(heap);
            return;
        }
}

/* The last live slot of an available span was freed by its owner. The only one there is stays: many a program goes up and
 * down where a span begins, and would open it each time. But if it does not, the span is not to stay for ever. */
static void become_empty(struct bmm__heap *heap, struct bmm__span *span)
{
    /* That its class has, if it is alone in the list. */
    bool is_all = heap->bins[span->class_index].current == NULL;
    if ((is_all || span->span_bytes <= SPARE_BYTES) && span->prev == NULL && span->next == NULL) {
        bmm__store_release(&span->listed, (uint8_t)BMM__LISTED_SPARE); /* release: who claims sees what was freed */
        if (is_all && bmm__let_go_is_much(span))
            bmm__remote_tell_spare();
        return;
    }
    bmm__available_remove(heap, span);
    release(heap, span);
}

/* Countdown of a current span is over. */
static void look_at_current(struct bmm__heap *heap, struct bmm__span *span)
{
    struct bmm__bin *bin = &heap->bins[span->class_index];
    bool is_pending = bmm__purge_is_pending(); /* then the heap looks at the clock */
    if (!is_pending)
        bmm__remote_send_due(heap);
    bmm__heap_look(heap);
    fulfil_wish(heap);
    if (bin->current != span)
        return;
    uint64_t now = is_pending || !bmm__let_go_is_worth_it(span) ? heap->slow_ms : bmm__os_clock_coarse_ms();
    if (bmm__let_go_is_due(bin, span, bmm__span_list(span), now, bmm__heartbeat()))
        bmm__heap_let_current_go(heap, span->class_index);
}

void bmm__heap_countdown_over(struct bmm__list *list)
{
    struct bmm__heap *heap = (struct bmm__heap *)(list->owner & ~(uintptr_t)1); /* NOLINT */
    struct bmm__span *span = (struct bmm__span *)(void *)list;                  /* it begins with its list */
    bool is_bin = (uintptr_t)list - (uintptr_t)heap < sizeof *heap;
    if (is_bin)
        span = heap->bins[bmm__heap_class((uintptr_t)list - (uintptr_t)heap)].current;
    if (is_bin || heap->bins[span->class_index].current == span) {
        bmm__heap_begin(heap);
        look_at_current(heap, span);
        bmm__heap_end(heap);
        return;
    }
    bmm__heap_begin(heap);
    if (span->listed != BMM__LISTED_NOT)
        become_empty(heap, span);
    else
        become_available(heap, span);
    bmm__heap_end(heap);
}

void bmm__heap_free(struct bmm__heap *heap, struct bmm__span *span, void *slot, uint32_t index)
{
    if (heap == NULL || bmm__load_relaxed(&span->list.owner) != heap->token) {
        /* the late heap posts nothing: nobody sends it */
        bmm__remote_free(heap == bmm__heap ? heap : NULL, span, slot, index);
        return;
    }
    bmm__slot_retire_checked(&span->list, slot, index);
    bmm__heap_put(bmm__span_list(span), slot, index);
}

/* The current span goes to the available list, with its live count found by counting. False: it was gone. */
static bool retire_current(struct bmm__heap *heap, unsigned class_index)
{
    struct bmm__span *span = heap->bins[class_index].current;
    if (!bmm__heap_recover(heap, span))
        return false;
    heap->bins[class_index].current = NULL;
    bmm__hide(span);
    bmm__refill_splice_all(span, &span->list);
    bmm__refill_await(span, bmm__refill_take(span, BMM__REMOTE_CURRENT));
    bmm__refill_splice_all(span, &span->list);
    bmm__available_set_live(
        span,
        span->extended - bmm__list_inspect(&span->list)); /* before the state: from then on others compare with it */
    uint64_t word = bmm__load_relaxed(&span->remote);
    while (!bmm__cas_weak_seq_cst(&span->remote, &word, word & ~(uint64_t)3))
        ;
    bmm__available_append(heap, span);
    return true;
}

void bmm__heap_let_current_go(struct bmm__heap *heap, unsigned class_index)
{
    struct bmm__span *span = heap->bins[class_index].current;
    if (!retire_current(heap, class_index))
        return;
    uint64_t word = bmm__load_acquire(&span->remote);
    if (span->list.countdown == 0)
        become_empty(heap, span);
    else if (BMM__REMOTE_COUNT(word) != 0 && bmm__remote_try_claim(span, word))
        bmm__heap_gave_back(heap);
}

/* Collects from a span that was taken off the available list; true if it was given back. */
static bool collect(struct bmm__heap *heap, struct bmm__span *span)
{
    uint32_t live = span->list.countdown;
    uint64_t word = bmm__refill_take(span, BMM__REMOTE_CURRENT); /* nobody claims while we look */
    if (is_claimed(heap, span, word))
        return true;
    bmm__refill_await(span, word);
    live -= bmm__refill_splice_all(span, &span->list);
    if (live == 0) {
        release(heap, span);
        return true;
    }
    bmm__store_relaxed(&span->list.countdown, live);
    bmm__available_append(heap, span);
    word = bmm__load_relaxed(&span->remote);
    while (!bmm__cas_weak_seq_cst(&span->remote, &word, word & ~(uint64_t)3))
        ;
    if (!bmm__remote_try_claim(span, word & ~(uint64_t)3))
        return false;
    bmm__heap_gave_back(heap);
    return true;
}

static bool collect_all(struct bmm__heap *heap, struct bmm__bin *bin)
{
    bool has_released = false;
    struct bmm__span *span = bin->first, *next;
    bin->first = bin->last = NULL; /* whoever claims a span may free its descriptor as soon as we have seen it */
    for (; span != NULL; span = next) {
        next = span->next;
        bmm__store_relaxed(&span->listed, (uint8_t)BMM__LISTED_NOT);
        has_released = collect(heap, span) || has_released;
    }
    return has_released;
}

void bmm__heap_send(struct bmm__heap *heap)
{
    bmm__heap_begin(heap);
    bmm__remote_send_all(heap);
    bmm__heap_end(heap);
}

/* The next class from index on, of those that were used; BMM__HEAP_CLASS_COUNT: there is none. */
static unsigned next_used(const struct bmm__heap *heap, unsigned index)
{
    while (index < BMM__HEAP_CLASS_COUNT && (heap->align_sets >> index / BMM__CLASS_COUNT & 1) == 0)
        index += BMM__CLASS_COUNT - index % BMM__CLASS_COUNT;
    return index;
}

bool bmm__heap_minimize(struct bmm__heap *heap)
{
    bool has_released = false;
    bmm__heap_begin(heap);
    bmm__remote_send_all(heap);
    while (!list_ready(heap))
        ;
    for (unsigned index = 0; (index = next_used(heap, index)) < BMM__HEAP_CLASS_COUNT; index++) {
        if (heap->bins[index].current != NULL)
            retire_current(heap, index);
        has_released = collect_all(heap, &heap->bins[index]) || has_released;
    }
    bmm__heap_end(heap);
    return has_released;
}

/* The current span of a class, or else the spare one. False: there is neither. */
static bool let_go(struct bmm__heap *heap, unsigned class_index)
{
    const struct bmm__bin *bin = &heap->bins[class_index];
    struct bmm__span *span = bin->current;
    if (span != NULL && !retire_current(heap, class_index))
        return true;
    if (span == NULL && ((span = bin->last) == NULL || span->listed != BMM__LISTED_SPARE))
        return false;
    bmm__available_remove(heap, span);
    collect(heap, span);
    return true;
}

bool bmm__heap_cool(struct bmm__heap *heap)
{
    bmm__heap_begin(heap);
    bmm__remote_send_due(heap);
    bool is_done = heap->posted_bytes == 0 && list_ready(heap);
    unsigned index = is_done ? 0 : BMM__HEAP_CLASS_COUNT, count = 0;
    while (count < COOL_AT_ONCE && (index = next_used(heap, index)) < BMM__HEAP_CLASS_COUNT)
        if (let_go(heap, index))
            count++;
        else
            index++;
    bmm__heap_end(heap);
    return is_done && count < COOL_AT_ONCE;
}
