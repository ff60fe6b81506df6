/* The secure variant: the tables of links, and what is said when something is wrong. */
#include "core/secure_span.h"

#include "core/arena.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/text.h"

#include <string.h>

/* Of a granule: a link for each of the smallest slots and for the number 0; and some more, so that tables begin in different
 * sets of the cache. */
#define TABLE_BYTES ((BMM__GRANULE / 16 + 32) * sizeof(uint16_t))

_Static_assert(BMM__GRANULE / 16 + 1 < BMM__LINK_NO_NUMBER && (BMM__GRANULE / 16 + 2) * sizeof(uint16_t) <= TABLE_BYTES,
               "there is a number, and a link, for each of the smallest slots, and for one behind the last");

/* Random orders of 2^k numbers for each k up to ORDER_SHIFT_MAX, from 2^k on: as many as are mixed with each other. */
#define ORDER_COUNT 32 /* a power of two */
#define ORDER_SHIFT_MAX 5
static uint8_t orders[ORDER_COUNT][2 << ORDER_SHIFT_MAX];

static uint64_t random_state; /* atomic */

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators". */
static uint64_t random_word(void)
{
    uint64_t z = bmm__add_relaxed(&random_state, 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Fisher and Yates, "inside out". */
static void mix(uint8_t *order, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)((random_word() >> 32) * (i + 1) >> 32);
        order[i] = order[at];
        order[at] = (uint8_t)i;
    }
}

void bmm__secure_start(void)
{
    bmm__store_relaxed(&random_state, bmm__os_random());
    for (unsigned i = 0; i < ORDER_COUNT; i++)
        for (unsigned shift = 0; shift <= ORDER_SHIFT_MAX; shift++)
            mix(&orders[i][1u << shift], 1u << shift);
}

/* So many slots, or so many bytes, are mixed with each other: the processor foresees what is touched in order, and Python took
 * a quarter longer where all of a page was mixed. */
#define MIXED_MIN 8u
#define MIXED_BYTES 512u
_Static_assert(MIXED_BYTES / 16 <= 1u << ORDER_SHIFT_MAX && MIXED_MIN <= 1u << ORDER_SHIFT_MAX,
               "there are such orders");

static uint32_t mixed_count(uint32_t slot_bytes, uint32_t count)
{
    uint32_t mixed = MIXED_BYTES / slot_bytes;
    mixed = mixed < MIXED_MIN ? MIXED_MIN : 1u << (31 - __builtin_clz(mixed));
    return mixed < count ? mixed : count;
}

/* count slots from that number on are put on the list, in one of the orders, begun anywhere, mirrored at random, and mixed by
 * another one: drawing a new order for each would take as long as all of the rest. */
static void put_mixed(struct bmm__list *list, uint32_t number, uint32_t count, uint32_t mark, uint64_t random)
{
    const uint8_t *order = &orders[random % ORDER_COUNT][count],
                  *other = &orders[random >> 24 & (ORDER_COUNT - 1)][count];
    uint32_t last = count - 1, begin = (uint32_t)(random >> 8) & last, mirror = (uint32_t)(random >> 16) & last;
    uint16_t next = (uint16_t)list->free, *links = list->links + number;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = other[order[(i + begin) & last] ^ mirror];
        bmm__store_relaxed(&links[at], next);
        next = (uint16_t)((number + at) | mark);
    }
    bmm__store_relaxed(&list->free, (int64_t)(int16_t)next);
}

void bmm__list_put_new(struct bmm__list *list, uintptr_t first, uint32_t index, uint32_t count)
{
    uint32_t slot_bytes = list->slot_bytes, mixed = mixed_count(slot_bytes, count);
    bool is_new = slot_bytes >= BMM__NEW_BYTES_MIN;
    for (uint32_t left = count; left != 0;) { /* the first are taken first */
        left -= mixed;
        put_mixed(list, index + left + 1, mixed, is_new ? BMM__LINK_NEW : 0, random_word());
    }
    for (uint32_t i = 0; i < count && !is_new; i++)
        bmm__secure_mark((struct bmm__slot_link *)(first + (uintptr_t)i * slot_bytes)); /* NOLINT */
}

/* ---- tables ---- */

static char *tables; /* of the window's granules */

static size_t bytes_for(size_t granules)
{
    return (granules * TABLE_BYTES + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
}

/* As the window itself: at a place of choice bit by bit, else all at once. */
bool bmm__secure_extend(size_t granules, size_t capacity)
{
    static size_t reserved, committed; /* bytes */
    size_t wanted = bytes_for(granules), more;
    for (unsigned attempt = 0; attempt < 4 && tables == NULL; attempt++) {
        void *place = bmm__os_quiet_corner(BMM__WINDOW_ALIGN);
        if (place != NULL && bmm__os_reserve_at(place, wanted)) {
            tables = place;
            reserved = wanted;
        }
    }
    if (tables == NULL) {
        tables = bmm__os_reserve(bytes_for(capacity), BMM__GRANULE);
        reserved = bytes_for(capacity);
    }
    if (tables == NULL)
        return false;
    if (wanted > reserved) {
        if (!bmm__os_reserve_at(tables + reserved, wanted - reserved))
            return false;
        reserved = wanted;
    }
    more = wanted > committed ? wanted - committed : 0;
    if (more != 0 && !bmm__os_commit(tables + committed, more))
        return false;
    committed += more;
    return true;
}

size_t bmm__secure_bytes(size_t arena_bytes)
{
    return bytes_for(arena_bytes >> BMM__GRANULE_SHIFT);
}

void bmm__secure_open(struct bmm__span *span, uint64_t inverse)
{
    size_t granule = (span->start - bmm__window_start) >> BMM__GRANULE_SHIFT;
    char *table = tables;
    if (bmm__page_map_entry(span->start) == NULL)
        table = bmm__arena_beside(span->start, &granule);
    table += granule * TABLE_BYTES;
    struct bmm__list *list = &span->list;
    list->before = span->start - list->slot_bytes;
    list->inverse = inverse;
    list->links = (uint16_t *)(void *)table;
}

void bmm__secure_purged(uintptr_t start, size_t bytes)
{
    size_t page = bmm__os_page_bytes(), granule = (start - bmm__window_start) >> BMM__GRANULE_SHIFT;
    size_t from = (granule * TABLE_BYTES + page - 1) & ~(page - 1);
    size_t to = (granule + (bytes >> BMM__GRANULE_SHIFT)) * TABLE_BYTES & ~(page - 1);
    if (from < to)
        bmm__os_purge_own(tables + from, to - from);
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

static void receive(const struct bmm__span *span, const struct bmm__slot_link *batch, uint32_t index)
{
    const struct bmm__list *list = &span->list;
    bmm__slot_expect_index(batch, index, span->extended);
    bmm__slot_receive(list, bmm__secure_slot(list, index + 1), index, batch);
    bmm__store_relaxed(&list->links[index + 1], (uint16_t)0);
}

void bmm__secure_receive_all(const struct bmm__span *span, uint64_t word)
{
    uint16_t waiting = (uint16_t)BMM__REMOTE_COUNT(word);
    for (uint32_t head = BMM__REMOTE_HEAD(word), count; head != 0;) {
        uint32_t own = head - 1;
        struct bmm__slot_link *batch = bmm__secure_slot(&span->list, head);
        bmm__slot_expect_index(batch, own, span->extended);
        head = bmm__batch_read(batch, &count);
        bmm__slot_expect_count(batch, count, span->list.slot_bytes);
        for (uint32_t i = 0; i < count; i++)
            receive(span, batch, bmm__batch_others(batch)[i]);
        receive(span, batch, own);
        waiting = (uint16_t)(waiting - (count + 1));
        bmm__slot_expect_waiting(batch, waiting, head != 0);
    }
}

void bmm__secure_forget(const struct bmm__span *span)
{
    memset(span->list.links, 0, (span->extended + 1) * sizeof *span->list.links);
}

void bmm__secure_close(const struct bmm__span *span)
{
    if (span->kind != BMM__SPAN_SLOTS)
        return;
    const uint16_t *links = span->list.links;
    uint16_t found = 0;
    for (uint32_t number = 1; number <= span->extended; number++)
        found |= links[number];
    if ((found & BMM__LINK_NO_NUMBER) != 0)
        bmm__secure_bad_link(&span->list);
}

void bmm__secure_bad_slot(const void *slot)
{
    stop("the block at ", slot, " was written to after it was freed");
}

void bmm__secure_bad_link(const struct bmm__list *list)
{
    stop("a block beside ", bmm__secure_slot(list, 1), " was freed by two threads at once");
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
