/* When a heap's thread looks at the clock, and what it lets go of then (heap.h, let_go.h); but for what it does at the end of a
 * countdown, which is in heap.c. */
#include "core/heap.h"
#include "core/let_go.h"
#include "core/os.h"
#include "core/purge.h"
#include "core/remote.h"
#include "core/shown.h"

#define SELDOM_MS 4u        /* between two slow calls of a thread that is watched */
#define SELDOM_LOOKS_MS 12u /* between two looks at one that is not: a slice would have been due */
#define LOOKS_EVERY 15u
#define IDLE_LOOKS 8u /* of those at which nothing waits, one is at the clock */
#define WATCH 16u
#define COUNT_AT_ONCE 512u /* slots */

/* From now on the first allocation of each class is a slow one. */
static void hide_all(struct bmm__heap *heap)
{
    for (unsigned i = 0; i < BMM__CLASS_COUNT; i++) {
        struct bmm__span *span = heap->bins[i].current;
        if (span == NULL)
            continue;
        bool was_open = span->listed == BMM__LISTED_OPEN;
        if (!bmm__heap_recover(heap, span))
            continue;
        bmm__hide(span);
        bmm__let_go_look_sooner(span, BMM__HEARTBEAT_PENDING);
        if (was_open)
            bmm__remote_open(span);
    }
}

/* The thread is one that gives memory back, or comes by seldom: so that it is noticed who frees the last slots of the spans that it
 * has allocated from, they become available ones; some of them, for their slots are counted. */
static void let_some_go(struct bmm__heap *heap)
{
    unsigned next = heap->let_go_next;
    heap->let_go_next = BMM__CLASS_COUNT; /* for what comes here again from below */
    for (uint32_t counted = 0; next < BMM__CLASS_COUNT && counted < COUNT_AT_ONCE; next++) {
        struct bmm__span *span = heap->bins[next].current;
        if (span == NULL || !bmm__heap_recover(heap, span) || !bmm__let_go_is_much(span))
            continue;
        counted += span->extended;
        bmm__heap_let_current_go(heap, next);
    }
    heap->let_go_next = (uint8_t)next;
}

/* Begins with that, or goes on. */
static void let_go_by_and_by(struct bmm__heap *heap, uint64_t now)
{
    if (heap->let_go_next == BMM__CLASS_COUNT && now - heap->let_go_ms >= BMM__LET_GO_MS) {
        heap->let_go_ms = now;
        heap->let_go_next = 0;
    }
    if (heap->let_go_next != BMM__CLASS_COUNT)
        let_some_go(heap);
}

void bmm__heap_gave_back(struct bmm__heap *heap)
{
    if (!bmm__purge_is_pending())
        return;
    bmm__purge_tick();
    if (heap->watch != WATCH) {
        heap->watch = WATCH;
        hide_all(heap);
    }
    let_go_by_and_by(heap, bmm__os_clock_coarse_ms());
}

/* How long it is since the last look at the clock; what waits in the outbox, or some of it, is sent on the occasion. */
static uint64_t look_at_clock(struct bmm__heap *heap)
{
    uint64_t now = bmm__os_clock_coarse_ms(), since_ms = now - heap->slow_ms;
    heap->slow_ms = now;
    if (since_ms != 0) /* else it is busy, and its batches will be full soon */
        bmm__remote_send_due(heap);
    return since_ms;
}

/* Whether the thread comes by seldom. */
static bool is_seldom(struct bmm__heap *heap)
{
    uint64_t since_ms = look_at_clock(heap);
    bmm__purge_tick_at(heap->slow_ms);
    return since_ms >= (heap->watch != 0 ? SELDOM_MS : SELDOM_LOOKS_MS);
}

/* While memory waits to be purged, a thread that allocates seldom does so slowly, so that it passes by the clock. It is
 * watched at every slow call from when it gave something back until it has made WATCH of them quickly in a row, or
 * nothing waits any more; then it is looked at now and then, BMM__HEARTBEAT_PENDING frees apart at most, or BMM__HEARTBEAT if only spare spans wait. True: it is
 * watched. */
bool bmm__heap_look(struct bmm__heap *heap)
{
    heap->looks = LOOKS_EVERY;
    if (!bmm__purge_is_pending()) {
        heap->watch = 0;
        if (heap->posted_bytes != 0 && heap->idle_looks++ % IDLE_LOOKS == 0)
            look_at_clock(heap);
        return false;
    }
    if (is_seldom(heap)) {
        if (heap->watch == 0)
            hide_all(heap);
        heap->watch = WATCH;
        let_go_by_and_by(heap, heap->slow_ms);
        return true;
    }
    if (heap->watch != 0 && heap->let_go_next != BMM__CLASS_COUNT)
        let_some_go(heap);
    return heap->watch != 0 && --heap->watch != 0;
}

void bmm__heap_look_now(struct bmm__heap *heap)
{
    bmm__heap_begin(heap);
    bmm__heap_look(heap);
    bmm__heap_end(heap);
}
