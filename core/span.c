#include "core/span.h"

#include "core/arena.h"
#include "core/atomic.h"
#include "core/huge.h"
#include "core/meta.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/process.h"
#include "core/purge.h"
#include "core/run.h"
#include "core/secure_span.h"
#include "core/tally.h"

#include <string.h>

/* Unused descriptors: a stack whose head carries a tag in its upper 16 bits against the ABA problem (P4 makes reading
 * next of a descriptor that was popped meanwhile harmless). */
static uint64_t unused;
static struct bmm__span *all; /* pushed to only */

/* Descriptors that were never used are linked by parts: to link one is to touch its memory, and a small program needs few. */
#define PART_BYTES ((uintptr_t)4096)
_Static_assert(BMM__GRANULE / PART_BYTES <= PART_BYTES, "how many are left fits below a part's address");
static uintptr_t parts; /* the next part of the newest chunk, and in the low bits of its address how many are left */

static struct bmm__span *pointer_of(uint64_t head)
{
    return (struct bmm__span *)(uintptr_t)(head & 0xffffffffffffu); /* NOLINT */
}

static void push_unused(struct bmm__span *span)
{
    uint64_t head = bmm__load_relaxed(&unused), mine;
    do {
        bmm__store_relaxed(&span->next, pointer_of(head));
        mine = (uint64_t)(uintptr_t)span | ((head >> 48) + 1) << 48;
    } while (!bmm__cas_weak_acq_rel(&unused, &head, mine));
}

/* Field by field: others may still look at a descriptor that they have found before (P4), and follow all_next. */
static void clean(struct bmm__span *span)
{
    span->epoch++;
    bmm__store_relaxed(&span->listed, (uint8_t)BMM__LISTED_NOT);
    bmm__store_relaxed(&span->bias, (uint16_t)0);
    /* release: a sweep that sees the new word sees that the span is no spare one */
    bmm__store_release(&span->remote, (uint64_t)span->epoch << 32);
    bmm__store_relaxed(&span->list.owner, (uintptr_t)0);
    bmm__store_relaxed(&span->list.countdown, 0u);
    bmm__store_relaxed(&span->slot_count, 0u);
    bmm__list_clear(&span->list);
    bmm__store_relaxed(&span->is_shown, 0);
    bmm__store_relaxed(&span->side, NULL);
    bmm__store_relaxed(&span->area, NULL);
    span->list.slot_bytes = 0;
    bmm__store_relaxed(&span->extended, (uint16_t)0);
    bmm__store_relaxed(&span->waiting, (uint16_t)0);
    bmm__store_relaxed(&span->waiting_count, (uint16_t)0);
    bmm__store_relaxed(&span->inverse, (uint64_t)0);
    span->align_shift = 0;
    span->is_moved = 0;
    bmm__store_relaxed(&span->use, (uint8_t)0);
    bmm__store_relaxed(&span->heap, NULL);
}

#define GUARD BMM__META_GUARD

/* A granule of those for blocks, which reads as zero: for who has had all that the system gives, and has freed it. NULL: none is
 * left. */
static char *take_from_blocks(void)
{
    bool is_zero;
    size_t bytes = BMM__GRANULE + 2 * GUARD;
    char *start = bmm__arena_alloc(bytes, BMM__GRANULE, &is_zero);
    if (start == NULL)
        return NULL;
    char *chunk = start + GUARD;
    if (!is_zero)
        memset(chunk, 0, BMM__GRANULE);
    if (GUARD != 0 && !(bmm__os_protect(start, GUARD, 0) && bmm__os_protect(chunk + BMM__GRANULE, GUARD, 0))) {
        bmm__os_commit(start, bytes);
        bmm__arena_free(start, bytes, true, false);
        return NULL;
    }
    return chunk;
}

static void give_to_blocks(char *chunk)
{
    char *start = chunk - GUARD;
    size_t bytes = BMM__GRANULE + 2 * GUARD;
    if (GUARD == 0 || bmm__os_commit(start, bytes)) /* else it stays taken */
        bmm__arena_free(start, bytes, true, false);
}

/* NULL: out of memory. */
static struct bmm__span *take_part(bool may_be_of_blocks)
{
    uintptr_t found = bmm__load_acquire(&parts);
    for (;;) {
        uintptr_t part = found & ~(PART_BYTES - 1), left = found & (PART_BYTES - 1);
        if (left != 0) {
            if (bmm__cas_acq_rel(&parts, &found, (part + PART_BYTES) | (left - 1)))
                return (struct bmm__span *)part; /* NOLINT */
            continue;
        }
        char *chunk = bmm__meta_map(BMM__GRANULE);
        bool is_of_blocks = chunk == NULL && may_be_of_blocks;
        if (is_of_blocks)
            chunk = take_from_blocks();
        if (chunk == NULL)
            return NULL;
        if (bmm__cas_acq_rel(&parts, &found, (uintptr_t)(chunk + PART_BYTES) | (BMM__GRANULE / PART_BYTES - 1)))
            return (struct bmm__span *)(void *)chunk;
        if (is_of_blocks) /* another thread was faster, nobody has seen it */
            give_to_blocks(chunk);
        else
            bmm__meta_unmap(chunk, BMM__GRANULE);
    }
}

static struct bmm__span *make(bool may_be_of_blocks)
{
    for (;;) {
        uint64_t head = bmm__load_acquire(&unused);
        struct bmm__span *span = pointer_of(head);
        if (span == NULL)
            break;
        uint64_t rest = (uint64_t)(uintptr_t)bmm__load_relaxed(&span->next) | ((head >> 48) + 1) << 48;
        if (!bmm__cas_acq_rel(&unused, &head, rest))
            continue;
        clean(span);
        return span;
    }
    struct bmm__span *part = take_part(may_be_of_blocks);
    for (size_t i = 0; part != NULL && i < PART_BYTES / sizeof *part; i++) {
        struct bmm__span *first = bmm__load_relaxed(&all);
        do
            part[i].all_next = first;
        while (!bmm__cas_weak_acq_rel(&all, &first, &part[i]));
        if (i != 0)
            push_unused(&part[i]);
    }
    return part;
}

struct bmm__span *bmm__span_make(void)
{
    return make(false);
}

void bmm__span_free(struct bmm__span *span)
{
    bmm__store_release(&span->kind, BMM__SPAN_UNUSED);
    push_unused(span);
}

struct bmm__span *bmm__span_first(void)
{
    return bmm__load_acquire(&all);
}

static void describe(struct bmm__span *span, void *start, size_t bytes, enum bmm__span_is kind)
{
    bmm__store_relaxed(&span->start, (uintptr_t)start); /* somebody may still look */
    span->span_bytes = bytes;
    bmm__store_relaxed(&span->slot_count, 1u);
    bmm__store_release(&span->kind, (uint8_t)kind);
}

struct bmm__span *bmm__span_open(size_t bytes, size_t align, enum bmm__span_is kind, bool *is_zero)
{
    struct bmm__span *span = bytes > BMM__ARENA_RUN_MAX || align > BMM__ARENA_ALIGN_MAX ? NULL : make(true);
    if (span == NULL)
        return NULL;
    void *start = bmm__arena_alloc(bytes, align, is_zero);
    if (start == NULL && kind != BMM__SPAN_BIG) {
        bmm__purge_for_room(); /* whatever it gives back: another thread may have had what it was giving back itself */
        start = bmm__arena_alloc(bytes, align, is_zero);
    }
    if (start == NULL) {
        bmm__span_free(span);
        return NULL;
    }
    describe(span, start, bytes, kind);
    if (!bmm__page_map_enter(span->start, bytes, span)) {
        bmm__arena_free(start, bytes, !*is_zero, false);
        bmm__span_free(span);
        return NULL;
    }
    if (kind != BMM__SPAN_BIG || !bmm__is_huge(bytes))
        bmm__huge_leave(span->start, bytes);
    if (kind == BMM__SPAN_BIG)
        bmm__tally_add(BMM__TALLY_KIND(BMM_MEMORY_BIG), bytes);
    return span;
}

struct bmm__span *bmm__span_open_large(size_t bytes, size_t align)
{
    size_t whole = (bytes + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
    struct bmm__span *span = whole < bytes || !bmm__page_map_has_room(whole) ? NULL : make(true);
    if (span == NULL)
        return NULL;
    align = align < BMM__GRANULE ? BMM__GRANULE : align;
    void *start = bmm__os_map(whole, align);
    if (start == NULL) {
        bmm__span_free(span);
        return NULL;
    }
    describe(span, start, whole, BMM__SPAN_LARGE);
    if (!bmm__page_map_enter(span->start, whole, span)) {
        bmm__os_release(start, whole);
        bmm__span_free(span);
        return NULL;
    }
    bmm__tally_add(BMM__TALLY_KIND(BMM_MEMORY_LARGE), whole);
    return span;
}

static void count_closed(const struct bmm__span *span)
{
    if (span->kind == BMM__SPAN_SLOTS)
        bmm__tally_sub_class(span->class_index % BMM__CLASS_COUNT, span->span_bytes);
    else if (span->kind != BMM__SPAN_RUNS)
        bmm__tally_sub(BMM__TALLY_KIND(bmm__run_kind(span, bmm__run_use(span, span->start))), span->span_bytes);
}

void bmm__span_close(struct bmm__span *span, bool is_dirty)
{
    const struct bmm__client *client = bmm__process.client;
    uintptr_t start = span->start & ~(BMM__GRANULE - 1); /* of its memory */
    bmm__page_map_enter(start, span->span_bytes, NULL);
    bmm__secure_close(span);
    count_closed(span);
    void *side = bmm__exchange_acq_rel(&span->side, NULL);
    if (client != NULL && side != NULL)
        client->span_end(span, side);
    if (span->kind == BMM__SPAN_LARGE)
        bmm__os_release((void *)start, span->span_bytes);            /* NOLINT */
    else if (bmm__run_restore_rights(span, start, span->span_bytes)) /* else nobody could use it: it stays taken */
        bmm__arena_free((void *)start, span->span_bytes, is_dirty, span->is_moved != 0); /* NOLINT */
}
