/* The secure variant: keys, the states' memory, and what is said when something is wrong. */
#include "core/secure_span.h"

#include "core/arena.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/text.h"

#include <string.h>

uint8_t *bmm__secure_states;
uintptr_t bmm__secure_states_0;
uintptr_t bmm__secure_keys[BMM__KEY_COUNT];
uintptr_t bmm__secure_end;

static uint64_t random_state; /* atomic */

void bmm__secure_start(void)
{
    for (unsigned i = 0; i < BMM__KEY_COUNT; i++)
        bmm__secure_keys[i] = (uintptr_t)bmm__os_random();
    bmm__store_relaxed(&random_state, bmm__os_random());
}

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators". */
uint64_t bmm__secure_random(void)
{
    uint64_t z = bmm__add_relaxed(&random_state, 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* ---- states ---- */

static size_t bytes_for(size_t granules)
{
    return ((granules << (BMM__GRANULE_SHIFT - 4)) + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
}

/* As the window itself: at a place of choice bit by bit, else all at once. */
bool bmm__secure_extend(size_t granules, size_t capacity)
{
    static size_t reserved, committed; /* bytes */
    size_t wanted = bytes_for(granules), more;
    for (unsigned attempt = 0; attempt < 4 && bmm__secure_states == NULL; attempt++) {
        void *place = bmm__os_quiet_corner(BMM__WINDOW_ALIGN);
        if (place != NULL && bmm__os_reserve_at(place, wanted)) {
            bmm__secure_states = place;
            reserved = wanted;
        }
    }
    if (bmm__secure_states == NULL) {
        bmm__secure_states = bmm__os_reserve(bytes_for(capacity), BMM__GRANULE);
        reserved = bytes_for(capacity);
    }
    if (bmm__secure_states == NULL)
        return false;
    if (wanted > reserved) {
        if (!bmm__os_reserve_at(bmm__secure_states + reserved, wanted - reserved))
            return false;
        reserved = wanted;
    }
    more = wanted > committed ? wanted - committed : 0;
    if (more != 0 && !bmm__os_commit(bmm__secure_states + committed, more))
        return false;
    committed += more;
    return true;
}

void bmm__secure_extended(size_t granules)
{
    bmm__secure_states_0 = (uintptr_t)bmm__secure_states - bmm__window_start / 16;
    bmm__store_release(&bmm__secure_end, granules << (BMM__GRANULE_SHIFT - 4));
}

void bmm__secure_open(struct bmm__span *span)
{
    if (span->kind == BMM__SPAN_SLOTS && bmm__page_map_entry(span->start) == NULL)
        bmm__store_release(&span->side, bmm__arena_states(span->start));
}

uint8_t *bmm__secure_state_outside(uintptr_t address)
{
    static uint8_t none;
    struct bmm__span *span = bmm__page_map_find(address);
    uint8_t *states = span == NULL ? NULL : bmm__load_acquire(&span->side);
    return states == NULL || address % 16 != 0 ? &none : states + (address - span->start) / 16;
}

/* ---- what is wrong ---- */

static _Noreturn void stop(const char *before, const void *slot, const char *after)
{
    struct bmm__text text;
    bmm__text_begin(&text);
    bmm__text_put(&text, before);
    bmm__text_put_hex(&text, (uintptr_t)slot);
    bmm__text_put(&text, after);
    bmm__text_send(&text);
    bmm__os_abort();
}

/* The slot with the index, which the batch says there is. */
static struct bmm__slot_link *named(const struct bmm__span *span, const void *batch, uint32_t index)
{
    bmm__slot_expect_index(batch, index, bmm__load_relaxed(&span->extended));
    return (struct bmm__slot_link *)(span->start + (uintptr_t)index * span->list.slot_bytes); /* NOLINT */
}

void bmm__secure_receive_all(const struct bmm__span *span, uint64_t word)
{
    for (uint32_t head = BMM__REMOTE_HEAD(word), count; head != 0;) {
        struct bmm__slot_link *batch = named(span, (const void *)span->start, head - 1); /* NOLINT */
        head = bmm__batch_read(batch, &count, bmm__list_key(&span->list));
        for (uint32_t i = 0; i < count; i++)
            bmm__slot_receive(named(span, batch, bmm__batch_others(batch)[i]), batch);
        bmm__slot_receive(batch, batch);
    }
}

void bmm__secure_close(const struct bmm__span *span)
{
    if (span->kind != BMM__SPAN_SLOTS)
        return;
    const uint8_t *states = span->side != NULL ? span->side : &bmm__secure_states[bmm__secure_index(span->start)];
    const uint8_t *left = memchr(states, BMM__STATE_USED, span->span_bytes / 16);
    if (left == NULL)
        left = memchr(states, BMM__STATE_SENT, span->span_bytes / 16);
    if (left != NULL)
        stop("a block beside ", (const void *)(span->start + (uintptr_t)(left - states) * 16), /* NOLINT */
             " was freed by two threads at once");
}

void bmm__secure_bad_slot(const void *slot)
{
    if (*bmm__secure_state(slot) != BMM__STATE_FREE)
        stop("the block at ", slot, " was freed by two threads at once");
    stop("the block at ", slot, " was written to after it was freed");
}

void bmm__secure_bad_batch(const void *batch)
{
    stop("the block at ", batch,
         " was written to after it was freed, or one beside it was freed by two threads at once");
}

void bmm__secure_bad_free(const void *slot)
{
    stop("free or realloc of ", slot, ", which is free already");
}
