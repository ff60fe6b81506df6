/* When an owner lets the span go that he allocates from, so that it is known who frees its last slots (heap.c: the CURRENT span becomes
 * an available one, whose live slots are counted). His fast paths count his frees, and nothing else: so a span may be empty and he
 * not know it, and if he falls asleep, nobody ever does. But most that free go on to allocate, and for them it is work for nothing.
 *
 *   a list without slots: all others are live ─► so many frees of the owner later it may be empty: then, LET_GO_MOST times in a row
 *                                             ─► with his first free already: if it was not for LET_GO_MS, for others may have the rest
 *   his heap gives memory back, or he comes by seldom ─► all that are shown, some at each call: if it was not for LET_GO_MS
 *
 * Only spans of which much was used. All this between begin and end of the owner's heap; list is the one that stands for the span
 * now, and most the frees after which he is to look in any case.
 */
#ifndef BMM_LET_GO_H
#define BMM_LET_GO_H

#include "core/atomic.h"
#include "core/heap.h"
#include "core/os.h"

#define BMM__LET_GO_MS 50u
#define BMM__LET_GO_MOST 4u
#define BMM__LET_GO_ASK_EVERY 8u
#define BMM__LET_GO_BYTES_MIN ((size_t)32 << 10)
#define BMM__LET_GO_SLOT_MIN 193u           /* bytes: smaller slots have spans of one granule */
#define BMM__LET_GO_NOT_EXPECTED UINT16_MAX /* as bias of a CURRENT span (span.h) */

/* Whether so much of the span was used that it should not stay with an owner who needs it no more. */
static inline bool bmm__let_go_is_much(const struct bmm__span *span)
{
    return (size_t)span->extended * span->list.slot_bytes >= BMM__LET_GO_BYTES_MIN;
}

/* And so few slots that the owner may count them now and then. */
static inline bool bmm__let_go_is_worth_it(const struct bmm__span *span)
{
    return span->list.slot_bytes >= BMM__LET_GO_SLOT_MIN && bmm__let_go_is_much(span);
}

/* Whether it was not done for some time, by the coarse clock; if so, that begins anew. */
static inline bool bmm__let_go_is_time(struct bmm__bin *bin, uint64_t now)
{
    if ((uint32_t)now - bin->let_go_ms < BMM__LET_GO_MS)
        return false;
    bin->let_go_ms = (uint32_t)now;
    bin->let_go_count = 0;
    bin->is_busy = false;
    return true;
}

/* There is no slot on the list, live ones are in use, and one more is about to be. */
static inline void bmm__let_go_expect(struct bmm__bin *bin, struct bmm__span *span, struct bmm__list *list,
                                      uint32_t live, uint32_t most)
{
    bool may_be_over = bin->is_busy || bin->let_go_count == BMM__LET_GO_MOST;
    if (BMM__UNLIKELY(may_be_over) && ++bin->busy_times % BMM__LET_GO_ASK_EVERY == 0)
        bmm__let_go_is_time(bin, bmm__os_clock_coarse_ms());
    uint32_t first = bin->is_busy ? live + 1 : 1, bias = BMM__LET_GO_NOT_EXPECTED;
    if (bin->let_go_count == BMM__LET_GO_MOST || !bmm__let_go_is_worth_it(span)) {
        first = most;
    } else {
        first = first < most ? first : most;
        bias = live + 1 - first;
    }
    bmm__store_relaxed(&list->countdown, first);
    bmm__store_relaxed(&span->bias, (uint16_t)bias);
}

/* Slots of the span, which was an available one, are free; most of what was ever used may be. */
static inline void bmm__let_go_expect_nothing(const struct bmm__bin *bin, struct bmm__span *span, uint32_t most)
{
    bool is_early = !bin->is_busy && bin->let_go_count != BMM__LET_GO_MOST && bmm__let_go_is_worth_it(span);
    bmm__store_relaxed(&span->list.countdown, is_early ? 1 : most);
    bmm__store_relaxed(&span->bias, (uint16_t)BMM__LET_GO_NOT_EXPECTED);
}

/* What was most before is so much now. The span is hidden. */
static inline void bmm__let_go_look_sooner(struct bmm__span *span, uint32_t most)
{
    uint32_t left = span->list.countdown;
    if (left <= most)
        return;
    if (span->bias != BMM__LET_GO_NOT_EXPECTED)
        bmm__store_relaxed(&span->bias, (uint16_t)(span->bias + left - most));
    bmm__store_relaxed(&span->list.countdown, most);
}

/* Countdown is over. True: let it go. Else it begins anew. */
static inline bool bmm__let_go_is_due(struct bmm__bin *bin, struct bmm__span *span, struct bmm__list *list,
                                      uint64_t now, uint32_t most)
{
    uint32_t left = span->bias;
    if (bmm__let_go_is_worth_it(span)) {
        bool is_due = bmm__let_go_is_time(bin, now) || (left == 0 && bin->let_go_count < BMM__LET_GO_MOST);
        bin->is_busy = !is_due;
        bin->let_go_count += is_due;
        if (is_due)
            return true;
    }
    bool is_expected = left != 0 && left != BMM__LET_GO_NOT_EXPECTED;
    uint32_t next = is_expected && left < most ? left : most;
    bmm__store_relaxed(&list->countdown, next);
    bmm__store_relaxed(&span->bias, (uint16_t)(is_expected ? left - next : BMM__LET_GO_NOT_EXPECTED));
    return false;
}

#endif
