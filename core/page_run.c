#include "core/page_run.h"

#include "core/arena.h"
#include "core/assert.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/os.h"
#include "core/purge.h"
#include "core/run.h"
#include "core/run_map.h"
#include "core/size_class.h"
#include "core/tally.h"

#include <string.h>

#define AREA_BYTES ((size_t)4 << 20)
#define PAGES_MAX 1024u /* of an area; fewer where OS pages are larger */
#define WORDS (PAGES_MAX / 64)
#define AREAS_MAX 65536u

_Static_assert(BMM__PAGE_RUN_BYTES_MAX * 4 <= AREA_BYTES, "an area has room for several of the longest runs");

struct bmm__page_area {
    struct bmm__run_map map;
    struct bmm__span *span;
    uint32_t index;   /* in areas */
    uint32_t is_open; /* changed by compare-and-swap: whoever opens a closed area fills it */
    bool was_empty;   /* at the last look, and dirty; of the purge alone */
    uint64_t used[WORDS], dirty[WORDS], aged[WORDS], starts[WORDS];
    uint64_t rights[WORDS];     /* pages that may have other rights than to be read and written */
    uint16_t length[PAGES_MAX]; /* pages */
    uint8_t attributes[PAGES_MAX];
};

#define USE_SHIFT 6 /* of attributes: above it enum bmm__use, below it log2 of the alignment */
#define ALIGN_MASK ((1u << USE_SHIFT) - 1)

static struct {
    struct bmm__page_area *area; /* published with release, in order, never taken away */
    uint16_t longest;            /* a guess: no free run of the area has more pages */
} areas[AREAS_MAX] BMM__TABLE;
static uint32_t area_count;
static uint32_t roomy; /* areas below have no room for any run; any value is right */

static unsigned page_shift(void)
{
    return (unsigned)__builtin_ctzll(bmm__os_page_bytes());
}

static uint32_t pages_for(size_t size)
{
    return (uint32_t)((size + bmm__os_page_bytes() - 1) >> page_shift());
}

static uint64_t bit_of(uint32_t page)
{
    return 1ull << page % 64;
}

static void *address_of(const struct bmm__page_area *area, uint32_t page)
{
    return (void *)(area->map.start + ((uintptr_t)page << area->map.unit_shift)); /* NOLINT */
}

static uint32_t page_of(const struct bmm__page_area *area, uintptr_t address)
{
    return (uint32_t)((address - area->map.start) >> area->map.unit_shift);
}

static void enter_run(struct bmm__page_area *area, uint32_t page, uint32_t count, uint8_t attributes)
{
    area->length[page] = (uint16_t)count;
    area->attributes[page] = attributes;
    bmm__or_acq_rel(&area->starts[page / 64], bit_of(page)); /* release: who sees the start sees the length */
}

static void note_room(const struct bmm__page_area *area)
{
    bmm__store_relaxed(&areas[area->index].longest, (uint16_t)PAGES_MAX);
    if (area->index < bmm__load_relaxed(&roomy))
        bmm__store_relaxed(&roomy, area->index);
}

/* The arena counts a whole area as in use; what is meant are its runs. */
static void count_used(const struct bmm__page_area *area, uint32_t taken, uint32_t given)
{
    bmm__add_relaxed(&bmm__arena_used_bytes,
                     ((size_t)taken << area->map.unit_shift) - ((size_t)given << area->map.unit_shift));
}

/* Of runs that have these attributes. */
static void count_run(const struct bmm__page_area *area, uint8_t attributes, uint32_t taken, uint32_t given)
{
    unsigned line = BMM__TALLY_KIND(bmm__run_kind(area->span, (enum bmm__use)(attributes >> USE_SHIFT)));
    count_used(area, taken, given);
    if (taken != 0)
        bmm__tally_add(line, (size_t)taken << area->map.unit_shift);
    if (given != 0)
        bmm__tally_sub(line, (size_t)given << area->map.unit_shift);
}

/* ---- areas ---- */

/* A closed area's tables, or new ones; marked open and all in use. */
static struct bmm__page_area *claim_tables(void)
{
    uint32_t count = bmm__load_acquire(&area_count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t closed = 0;
        if (bmm__load_relaxed(&areas[i].area->is_open) == 0 && bmm__cas_acq_rel(&areas[i].area->is_open, &closed, 1))
            return areas[i].area;
    }
    struct bmm__page_area *area = bmm__core_meta_alloc(sizeof *area);
    if (area == NULL)
        return NULL;
    area->is_open = 1;
    area->map.unit_shift = page_shift();
    area->map.used = area->used;
    area->map.dirty = area->dirty;
    area->map.aged = area->aged;
    memset(area->used, 0xff, sizeof area->used);
    for (;;) {
        struct bmm__page_area *none = NULL;
        count = bmm__load_acquire(&area_count);
        if (count == AREAS_MAX)
            return NULL;
        area->index = count;
        bool is_mine = bmm__cas_acq_rel(&areas[count].area, &none, area);
        bmm__cas_acq_rel(&area_count, &count, count + 1); /* help, if another thread published but did not count */
        if (is_mine)
            return area;
    }
}

static struct bmm__page_area *open_area(void)
{
    struct bmm__page_area *area = claim_tables();
    if (area == NULL)
        return NULL;
    bool is_zero;
    struct bmm__span *span = bmm__span_open(AREA_BYTES, BMM__GRANULE, BMM__SPAN_RUNS, &is_zero);
    if (span == NULL) {
        bmm__store_release(&area->is_open, 0);
        return NULL;
    }
    uint32_t page_count = (uint32_t)(AREA_BYTES >> page_shift());
    bmm__store_relaxed(&span->slot_count, page_count);
    bmm__store_release(&span->area, area);
    area->span = span;
    bmm__store_relaxed(&area->map.start, span->start);
    bmm__store_release(&area->map.unit_count, page_count);
    bmm__run_map_give(&area->map, 0, page_count, !is_zero);
    count_used(area, 0, page_count);
    note_room(area);
    return area;
}

static void *take(struct bmm__page_area *area, uint32_t count, size_t align, enum bmm__use use, bool *is_zero)
{
    uint32_t align_count = align <= (size_t)1 << area->map.unit_shift ? 1 : (uint32_t)(align >> area->map.unit_shift);
    uint32_t dirty_count, page = bmm__run_map_take(&area->map, count, align_count, &dirty_count);
    if (page == BMM__RUN_NONE) {
        if (align_count == 1)
            bmm__store_relaxed(&areas[area->index].longest, (uint16_t)(count - 1));
        return NULL;
    }
    enter_run(area, page, count, (uint8_t)((unsigned)__builtin_ctzll(align) | (unsigned)use << USE_SHIFT));
    count_run(area, area->attributes[page], count, 0);
    *is_zero = dirty_count == 0;
    return address_of(area, page);
}

void *bmm__page_run_alloc(size_t size, size_t align, enum bmm__use use, bool *is_zero)
{
    uint32_t count = pages_for(size), pages_min = pages_for(BMM__SLOT_BYTES_MAX + 1);
    pages_min = count < pages_min ? count : pages_min;
    for (;;) {
        uint32_t total = bmm__load_acquire(&area_count);
        bool is_first = true;
        for (uint32_t i = bmm__load_relaxed(&roomy); i < total; i++) {
            uint16_t room = bmm__load_relaxed(&areas[i].longest);
            if (room >= pages_min && is_first) {
                bmm__store_relaxed(&roomy, i);
                is_first = false;
            }
            void *start = room < count ? NULL : take(areas[i].area, count, align, use, is_zero);
            if (start != NULL)
                return start;
        }
        struct bmm__page_area *area = open_area();
        if (area == NULL)
            return NULL;
        void *start = take(area, count, align, use, is_zero); /* others may have filled it meanwhile */
        if (start != NULL)
            return start;
    }
}

/* ---- runs ---- */

static bool is_start(const struct bmm__page_area *area, uint32_t page)
{
    return (bmm__load_acquire(&area->starts[page / 64]) & bit_of(page)) != 0;
}

struct bmm__page_run bmm__page_run_find(const struct bmm__span *span, uintptr_t address)
{
    const struct bmm__page_area *area = bmm__load_acquire(&span->area);
    if (area == NULL) /* being opened: the page map has it first */
        return (struct bmm__page_run){ .start = span->start, .bytes = span->span_bytes, .is_free = true };
    uint32_t page = page_of(area, address);
    if (page >= PAGES_MAX) /* the descriptor has become another's under who looks */
        return (struct bmm__page_run){ .start = address, .bytes = BMM__GRANULE, .is_free = true };
    struct bmm__page_run run = { .start = (uintptr_t)address_of(area, page),
                                 .bytes = (size_t)1 << area->map.unit_shift,
                                 .index = page,
                                 .is_free = true };
    uint64_t starts = bmm__load_acquire(&area->starts[page / 64]) & (bit_of(page) | (bit_of(page) - 1));
    for (uint32_t word = page / 64; starts == 0 && word-- > 0;)
        starts = bmm__load_acquire(&area->starts[word]), page = word * 64;
    if (starts == 0)
        return run;
    uint32_t first = page / 64 * 64 + 63 - (uint32_t)__builtin_clzll(starts);
    if (first + area->length[first] <= run.index)
        return run;
    run.index = first;
    run.start = (uintptr_t)address_of(area, first);
    run.bytes = (size_t)area->length[first] << area->map.unit_shift;
    run.align_shift = area->attributes[first] & ALIGN_MASK;
    run.use = area->attributes[first] >> USE_SHIFT;
    run.is_free = false;
    return run;
}

/* Takes the start bit off. False: there is none, or the address is not that of a page. */
static bool leave_run(struct bmm__page_area *area, uintptr_t start, uint32_t *page)
{
    *page = page_of(area, start);
    return (uintptr_t)address_of(area, *page) == start &&
           (bmm__and_acq_rel(&area->starts[*page / 64], ~bit_of(*page)) & bit_of(*page)) != 0;
}

static void give(struct bmm__page_area *area, uint32_t page, uint32_t count, uint8_t attributes)
{
    size_t bytes = (size_t)count << area->map.unit_shift;
    count_run(area, attributes, 0, count);
    if (!bmm__page_run_restore_rights(area->span, (uintptr_t)address_of(area, page), bytes))
        return; /* nobody could use them: they stay taken */
    bool is_dirty = bmm__arena_may_keep(bytes) || bmm__purge_excess(address_of(area, page), bytes) < bytes;
    bmm__run_map_give(&area->map, page, count, is_dirty);
    note_room(area);
}

bool bmm__page_run_free(struct bmm__span *span, void *start)
{
    struct bmm__page_area *area = span->area;
    uint32_t page;
    if (!leave_run(area, (uintptr_t)start, &page))
        return false;
    give(area, page, area->length[page], area->attributes[page]);
    return true;
}

bool bmm__page_run_resize(struct bmm__span *span, void *start, size_t size)
{
    struct bmm__page_area *area = span->area;
    uint32_t page = page_of(area, (uintptr_t)start), count = area->length[page], wanted = pages_for(size), dirty_count;
    if (size > AREA_BYTES || !is_start(area, page))
        return false;
    if (wanted > count && !bmm__run_map_take_at(&area->map, page + count, wanted - count, &dirty_count))
        return false;
    bmm__store_relaxed(&area->length[page], (uint16_t)wanted);
    if (wanted > count)
        count_run(area, area->attributes[page], wanted - count, 0);
    if (wanted < count)
        give(area, page + wanted, count - wanted, area->attributes[page]);
    return true;
}

void *bmm__page_run_slide(struct bmm__span *span, void *start, size_t size, bool keeps)
{
    struct bmm__page_area *area = span->area;
    uint32_t page = page_of(area, (uintptr_t)start), count = area->length[page], wanted = pages_for(size), dirty_count;
    if (size > AREA_BYTES || (area->attributes[page] & ALIGN_MASK) > area->map.unit_shift)
        return NULL;
    uint32_t right = bmm__run_map_free_at(&area->map, page + count, wanted - count);
    uint32_t left = wanted - count - right;
    if (left == 0) /* what was in the way a moment ago has gone */
        return bmm__page_run_resize(span, start, size) ? start : NULL;
    if (bmm__run_map_free_before(&area->map, page, left) < left)
        return NULL;
    if (right != 0 && !bmm__run_map_take_at(&area->map, page + count, right, &dirty_count))
        return NULL;
    if (!bmm__run_map_take_at(&area->map, page - left, left, &dirty_count)) {
        if (right != 0)
            bmm__run_map_give(&area->map, page + count, right, true);
        return NULL;
    }
    uint8_t attributes = area->attributes[page];
    bmm__and_acq_rel(&area->starts[page / 64], ~bit_of(page));
    void *moved = address_of(area, page - left);
    if (keeps)
        memmove(moved, start, (size_t)count << area->map.unit_shift);
    enter_run(area, page - left, wanted, attributes);
    count_run(area, attributes, wanted - count, 0);
    return moved;
}

/* ---- access rights ---- */

void bmm__page_run_note_rights(const struct bmm__span *span, uintptr_t start, uintptr_t end)
{
    struct bmm__page_area *area = bmm__load_acquire(&span->area);
    if (area == NULL)
        return;
    for (uint32_t page = page_of(area, start); page <= page_of(area, end - 1); page++)
        bmm__or_acq_rel(&area->rights[page / 64], bit_of(page));
}

bool bmm__page_run_has_rights(const struct bmm__span *span, uintptr_t address)
{
    const struct bmm__page_area *area = bmm__load_acquire(&span->area);
    uint32_t page = area == NULL ? 0 : page_of(area, address);
    return area != NULL && (bmm__load_acquire(&area->rights[page / 64]) & bit_of(page)) != 0;
}

bool bmm__page_run_restore_rights(const struct bmm__span *span, uintptr_t start, size_t bytes)
{
    struct bmm__page_area *area = bmm__load_acquire(&span->area);
    if (area == NULL)
        return true;
    uint32_t page = page_of(area, start), end = page + (uint32_t)(bytes >> area->map.unit_shift);
    for (; page < end; page++)
        if ((bmm__load_relaxed(&area->rights[page / 64]) & bit_of(page)) != 0) {
            uint32_t first = page;
            for (; page < end && (bmm__load_relaxed(&area->rights[page / 64]) & bit_of(page)) != 0; page++)
                ;
            if (!bmm__os_commit(address_of(area, first), (size_t)(page - first) << area->map.unit_shift))
                return false;
            for (uint32_t at = first; at < page; at++)
                bmm__and_acq_rel(&area->rights[at / 64], ~bit_of(at));
        }
    return true;
}

/* ---- giving back ---- */

/* At the second look also what is dirty still: the system keeps it, for it is locked. */
static void close_if_empty(struct bmm__page_area *area)
{
    uint32_t page_count = bmm__load_acquire(&area->map.unit_count);
    bool was_empty = area->was_empty;
    area->was_empty = false;
    if (page_count == 0 || bmm__run_map_free_at(&area->map, 0, page_count) < page_count) /* being opened, or in use */
        return;
    for (unsigned i = 0; i < WORDS; i++)
        area->was_empty = area->was_empty || bmm__load_relaxed(&area->dirty[i]) != 0;
    uint32_t dirty_count; /* another thread may have come and gone since the look */
    if ((area->was_empty && !was_empty) || !bmm__run_map_take_all(&area->map, &dirty_count))
        return;
    area->was_empty = false;
    struct bmm__span *span = area->span;
    bmm__store_relaxed(&areas[area->index].longest, 0);
    count_used(area, page_count, 0);
    bmm__span_close(span, dirty_count != 0);
    bmm__span_free(span);
    bmm__store_release(&area->is_open, 0);
}

bool bmm__page_run_age(bool is_all, struct bmm__purge_work *work)
{
    static uint32_t cursor;
    uint32_t total = bmm__load_acquire(&area_count);
    for (; cursor < total; cursor++) {
        struct bmm__page_area *area = areas[cursor].area;
        if (bmm__load_acquire(&area->is_open) == 0)
            continue;
        size_t asked = work->asked_bytes;
        bool is_complete = bmm__run_map_age(&area->map, is_all, work);
        if (work->asked_bytes != asked)
            note_room(area); /* who needed what the pass held believes that there is none */
        if (!is_complete)
            return false;
        close_if_empty(area);
    }
    cursor = 0;
    return true;
}

bool bmm__page_run_purge_last(struct bmm__purge_place *place, struct bmm__purge_work *work)
{
    if (!place->is_begun)
        *place = (struct bmm__purge_place){ bmm__load_acquire(&area_count), UINT32_MAX, true };
    for (; place->map != 0; place->map--, place->part = UINT32_MAX) {
        struct bmm__page_area *area = areas[place->map - 1].area;
        if (bmm__load_acquire(&area->is_open) == 0)
            continue;
        size_t asked = work->asked_bytes;
        bool is_complete = bmm__run_map_purge_last(&area->map, &place->part, work);
        if (work->asked_bytes != asked)
            note_room(area);
        if (!is_complete)
            return false;
    }
    return true;
}
