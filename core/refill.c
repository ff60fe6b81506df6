#include "core/refill.h"

#include "core/os.h"

#define POPULATE_FROM ((size_t)2 * BMM__EXTEND_BYTES)
#define POPULATE_BYTES ((size_t)16 << 10) /* longer steps gain little */

static struct bmm__slot_link *slot_at(const struct bmm__span *span, uint32_t index)
{
    return (struct bmm__slot_link *)(span->start + (uintptr_t)index * span->list.slot_bytes); /* NOLINT */
}

/* The slot with the index, which the batch names, or lies in, and which is put on the list. */
static void receive(const struct bmm__span *span, struct bmm__list *list, const struct bmm__slot_link *batch,
                    uint32_t index)
{
    bmm__slot_expect_index(batch, index, span->extended);
    struct bmm__slot_link *slot = slot_at(span, index);
    bmm__slot_receive(list, slot, index, batch);
    bmm__list_put(list, slot, index);
}

void bmm__refill_splice(struct bmm__span *span, struct bmm__list *list)
{
    uint32_t own = span->waiting - 1u, count;
    struct bmm__slot_link *slot = slot_at(span, own);
    bmm__slot_expect_index(slot, own, span->extended);
    uint32_t next = bmm__batch_read(slot, &count);
    if (next != 0)
        __builtin_prefetch(slot_at(span, next - 1), 1);
    bmm__slot_expect_count(slot, count, span->list.slot_bytes);
    for (uint32_t i = 0; i < count; i++)
        receive(span, list, slot, bmm__batch_others(slot)[i]);
    bmm__store_relaxed(&span->waiting_count, (uint16_t)(span->waiting_count - (count + 1)));
    bmm__store_relaxed(&span->waiting, (uint16_t)next);
    bmm__slot_expect_waiting(slot, span->waiting_count, next != 0);
    bmm__signal_fence();
    receive(span, list, slot, own); /* last: the batch is written in it, and nobody is to look there any more */
}

uint32_t bmm__refill_splice_all(struct bmm__span *span, struct bmm__list *list)
{
    uint32_t count = span->waiting_count;
    while (span->waiting != 0)
        bmm__refill_splice(span, list);
    return count;
}

/* Up to where a fresh span has memory when its first `bytes` are in use. A program that needs little of a class has no more than
 * that; and where the step is not too long, one that needs much of many classes has not much more either. */
static size_t populated(const struct bmm__span *span, size_t bytes)
{
    size_t end = (size_t)span->slot_count * span->list.slot_bytes,
           step = (bytes + POPULATE_BYTES - 1) & ~(POPULATE_BYTES - 1);
    return bytes <= POPULATE_FROM ? bytes : step < end ? step : end;
}

/* Of larger blocks a program may use a part, and of more than a page at once (the secure variant's) not all. */
void bmm__refill_populate(const struct bmm__span *span, uint32_t index, uint32_t count)
{
    size_t slot_bytes = span->list.slot_bytes, old_bytes = index * slot_bytes,
           new_bytes = old_bytes + count * slot_bytes;
    size_t from = populated(span, old_bytes), to = populated(span, new_bytes);
    if (to > from && new_bytes > POPULATE_FROM && new_bytes - old_bytes <= BMM__EXTEND_BYTES)
        bmm__os_populate((void *)(span->start + from), to - from); /* NOLINT */
}
