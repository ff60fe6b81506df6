/* When an owner lets the span go that he allocates from, so that it is known who frees its last slots (heap.c: the CURRENT span becomes
 * an available one, whose live slots are counted). His fast paths count his frees, and nothing else: so a span may be empty and he
 * not know it, and if he falls asleep, nobody ever does. But most that free go on to allocate, and for them it is work for nothing.
 *
 *   a list without slots: all others are live ─► so many frees of the owner later it may be empty: then, LET_GO_MOST times in a row
 *                                             ─► with his first free already: if it was not for LET_GO_MS, for others may have the rest
 *   his heap gives memory back, or he comes by seldom ─► all but those of slots with an alignment, some at each call: if it was not for LET_GO_MS
 *
 * Only spans of which much was used. All this between begin and end of the owner's heap; list is the one that stands for the span
 * now, and most the frees after which he is to look in any case.
 */
#ifndef BMM_LET_GO_H
#define BMM_LET_GO_H

#include "core/assert.h"
#include "core/atomic.h"
#include "core/heap.h"
#include "core/os.h"
#include "core/purge.h"

#define BMM__LET_GO_MS 50u
#define BMM__LET_GO_MOST 4u
#define BMM__LET_GO_ASK_EVERY 8u
#define BMM__LET_GO_BYTES_MIN ((size_t)32 << 10)
#define BMM__LET_GO_SLOT_MIN 193u /* bytes: smaller slots have spans of one granule */
#define BMM__LET_GO_EXPECTED 1u   /* as bias of a CURRENT span (span.h); else 0 */

/* Local frees of a current span between two looks at the clock; while memory waits to be given back, and else. */
#define BMM__HEARTBEAT_PENDING 64u
#define BMM__HEARTBEAT 4096u

static inline __attribute__((always_inline)) uint32_t bmm__heartbeat(void)
{
    return bmm__purge_is_urgent() ? BMM__HEARTBEAT_PENDING : BMM__HEARTBEAT;
}

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

/* Whether it was not done for some time, by the coarse clock: then nobody is busy. */
static inline bool bmm__let_go_is_time(struct bmm__bin *bin, uint64_t now)
{
    bool is_time = (uint32_t)now - bin->let_go_ms >= BMM__LET_GO_MS;
    bin->busy = is_time ? 0 : bin->busy;
    return is_time;
}

/* There is no slot on the list, live ones are in use, and one more is about to be. */
static inline void bmm__let_go_expect(struct bmm__bin *bin, struct bmm__span *span, struct bmm__list *list,
                                      uint32_t live, uint32_t most)
{
    uint32_t first = most, bias = 0;
    if (bmm__let_go_is_worth_it(span)) {
        first = 1;
        if (bin->busy != 0) {
            if (++bin->busy_times % BMM__LET_GO_ASK_EVERY == 0)
                bmm__let_go_is_time(bin, bmm__os_clock_coarse_ms());
            bias = bin->busy < BMM__LET_GO_MOST ? BMM__LET_GO_EXPECTED : 0;
            first = bias != 0 ? live + 1 : most;
        }
    }
    bmm__store_relaxed(&list->countdown, first);
    bmm__store_relaxed(&span->bias, (uint16_t)bias);
}

/* Slots of the span, which was an available one, are free; most of what was ever used may be. */
static inline void bmm__let_go_expect_nothing(const struct bmm__bin *bin, struct bmm__span *span, uint32_t most)
{
    bmm__store_relaxed(&span->list.countdown, bin->busy == 0 && bmm__let_go_is_worth_it(span) ? 1 : most);
    bmm__store_relaxed(&span->bias, (uint16_t)0);
}

/* What was most before is so much now. The span is hidden. */
static inline void bmm__let_go_look_sooner(struct bmm__span *span, uint32_t most)
{
    if (span->list.countdown <= most)
        return;
    bmm__store_relaxed(&span->list.countdown, most);
    bmm__store_relaxed(&span->bias, (uint16_t)0);
}

/* Countdown is over. True: let it go. Else it begins anew. */
static inline bool bmm__let_go_is_due(struct bmm__bin *bin, struct bmm__span *span, struct bmm__list *list,
                                      uint64_t now, uint32_t most)
{
    bool is_expected = span->bias != 0;
    bmm__store_relaxed(&list->countdown, most);
    bmm__store_relaxed(&span->bias, (uint16_t)0);
    if (!bmm__let_go_is_worth_it(span))
        return false;
    if (bmm__let_go_is_time(bin, now)) {
        bin->let_go_ms = (uint32_t)now;
        return true;
    }
    bool is_due = is_expected && bin->busy < BMM__LET_GO_MOST;
    bin->busy += is_due || bin->busy == 0;
    return is_due;
}

#endif
