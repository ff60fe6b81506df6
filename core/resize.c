/* Blocks that change their size without being copied to another block: the slot is long enough, pages or granules
 * beside it are free, or page addresses change. */
#include "core/arena.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/huge.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/page_run.h"
#include "core/process.h"
#include "core/run.h"

#include <string.h>

static size_t granules_up(size_t size)
{
    return (size + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
}

static bool extend_granules(struct bmm__span *span, size_t whole)
{
    size_t old_bytes = span->span_bytes;
    uintptr_t old_end = span->start + old_bytes;
    if (!bmm__arena_extend((void *)span->start, old_bytes, whole - old_bytes)) /* NOLINT */
        return false;
    if (!bmm__page_map_enter(old_end, whole - old_bytes, span)) {
        bmm__arena_free((void *)old_end, whole - old_bytes, true, false); /* NOLINT */
        return false;
    }
    bmm__run_set_bytes(span, whole);
    if (bmm__is_huge(whole))
        bmm__huge_use(span);
    else
        bmm__huge_leave(old_end, whole - old_bytes);
    return true;
}

/* is_dirty: what is given back may have memory behind it. */
static void shrink_granules(struct bmm__span *span, size_t whole, bool is_dirty)
{
    size_t old_bytes = span->span_bytes;
    uintptr_t end = span->start + whole;
    if (!bmm__run_restore_rights(span, end, old_bytes - whole))
        return; /* it stays as long as it is */
    if (bmm__is_huge(whole))
        bmm__huge_end(end);
    else if (bmm__is_huge(old_bytes))
        bmm__huge_leave(span->start, whole);
    bmm__page_map_enter(end, old_bytes - whole, NULL);
    bmm__arena_free((void *)end, old_bytes - whole, is_dirty, span->is_moved != 0); /* NOLINT */
    bmm__run_set_bytes(span, whole);
}

static bool resize_granules(struct bmm__span *span, size_t size)
{
    size_t whole = granules_up(size), filled = bmm__huge_fill(span->start, whole);
    if (whole < size || whole > BMM__ARENA_RUN_MAX)
        return false;
    if (span->span_bytes < whole)
        return (filled <= BMM__ARENA_RUN_MAX && extend_granules(span, filled)) ||
               (filled != whole && extend_granules(span, whole));
    if (span->span_bytes > filled)
        shrink_granules(span, filled, true);
    return true;
}

/* Shrinks only. */
static bool resize_mapping(struct bmm__span *span, size_t size)
{
    size_t whole = granules_up(size), old_bytes = span->span_bytes;
    if (whole > old_bytes)
        return false;
    if (whole == old_bytes)
        return true;
    bmm__page_map_enter(span->start + whole, old_bytes - whole, NULL);
    if (bmm__os_resize((void *)span->start, old_bytes, whole) == BMM__OS_RESIZED) /* NOLINT */
        bmm__run_set_bytes(span, whole);
    else
        bmm__page_map_enter(span->start + whole, old_bytes - whole, span); /* the leaf is there: M1 */
    return true;
}

static bool resize_pages(struct bmm__span *span, void *slot_start, size_t size)
{
    if (span->kind == BMM__SPAN_RUNS)
        return bmm__page_run_resize(span, slot_start, size);
    if (span->kind == BMM__SPAN_BIG)
        return resize_granules(span, size);
    return resize_mapping(span, size);
}

bool bmm__core_resize(void *slot_start, size_t size)
{
    struct bmm__span *span = bmm__page_map_find((uintptr_t)slot_start);
    if (span->kind == BMM__SPAN_SLOTS)
        return size <= span->list.slot_bytes;
    struct bmm__slot before, after;
    bmm__core_find((uintptr_t)slot_start, &before);
    if (!resize_pages(span, slot_start, size))
        return false;
    bmm__core_find((uintptr_t)slot_start, &after);
    if (after.bytes < before.bytes)
        bmm__thread_gave_back();
    return true;
}

/* The lowest place, if it has memory from its last user already; else one where there is room to grow for a while: what
 * is not needed of it is given back at once, but likely to be free still when it is. */
static struct bmm__span *open_place(size_t whole, size_t align, bool *is_zero)
{
    whole = bmm__huge_fill(0, whole);
    align = bmm__huge_align(whole, align);
    struct bmm__span *span = bmm__span_open(whole, align, BMM__SPAN_BIG, is_zero);
    if (span == NULL || !*is_zero || whole * 2 > BMM__ARENA_RUN_MAX)
        return span;
    struct bmm__span *roomy = bmm__span_open(whole * 2, align, BMM__SPAN_BIG, is_zero);
    if (roomy == NULL)
        return span;
    bmm__span_close(span, false);
    bmm__span_free(span);
    shrink_granules(roomy, whole, !*is_zero);
    return roomy;
}

/* To another span, of granules or a mapping: the pages change their addresses. */
static void *move_granules(struct bmm__span *span, size_t size, bool keeps)
{
    size_t align = (size_t)1 << span->align_shift, kept = span->span_bytes;
    bool is_zero = true;
    if (size < kept || size > PTRDIFF_MAX) /* who shrinks a block by changing its addresses? */
        return NULL;
    struct bmm__span *to = open_place(granules_up(size), align, &is_zero);
    if (to == NULL)
        to = bmm__span_open_large(size, align);
    if (to == NULL)
        return NULL;
    /* What lies in the new place would be lost by a move and have to be faulted in again: then copying is cheaper. */
    enum bmm__os_moved moved_how = BMM__OS_KEPT;
    if (is_zero)
        moved_how = bmm__os_move((void *)span->start, kept, (void *)to->start); /* NOLINT */
    if (moved_how == BMM__OS_LOST)
        return NULL; /* and the place stays a block in use for ever, which nobody knows */
    bool is_moved = moved_how == BMM__OS_MOVED;
    if (!is_moved && keeps)
        memcpy((void *)to->start, (void *)span->start, kept); /* NOLINT */
    to->align_shift = span->align_shift;
    bmm__run_set_use(to, bmm__run_use(span, span->start));
    to->is_moved = is_moved && to->kind == BMM__SPAN_BIG;
    void *moved = (void *)to->start; /* NOLINT */
    if (bmm__is_huge(to->span_bytes))
        bmm__huge_use(to);
    bmm__span_close(span, !is_moved);
    bmm__span_free(span);
    bmm__thread_gave_back();
    return moved;
}

/* In place if there is room behind it, else to a new place. Of either place the page map says what is ours only while it
 * is: the old entries are taken out before the pages leave (what they left may at once be another thread's), the new
 * ones entered when they have come. NULL: span is as before. */
static void *grow_mapping(struct bmm__span *span, size_t whole)
{
    size_t old_bytes = span->span_bytes, align = (size_t)1 << span->align_shift;
    uintptr_t old_start = span->start;
    if (!bmm__page_map_has_room(whole - old_bytes))
        return NULL;
    enum bmm__os_resized resized = bmm__os_resize((void *)old_start, old_bytes, whole); /* NOLINT */
    if (resized == BMM__OS_RESIZED) {
        if (bmm__page_map_enter(old_start + old_bytes, whole - old_bytes, span))
            return (void *)old_start;                        /* NOLINT */
        bmm__os_resize((void *)old_start, whole, old_bytes); /* NOLINT */
        return NULL;
    }
    if (resized == BMM__OS_CANNOT)
        return NULL;
    void *place = bmm__os_reserve(whole, bmm__huge_align(whole, align));
    if (place == NULL)
        place = bmm__os_reserve(whole, align < BMM__GRANULE ? BMM__GRANULE : align);
    if (place == NULL)
        return NULL;
    if (!bmm__page_map_prepare((uintptr_t)place, whole)) {
        bmm__os_release(place, whole);
        return NULL;
    }
    bmm__page_map_enter(old_start, old_bytes, NULL);
    bool is_done = bmm__os_remap((void *)old_start, old_bytes, place, whole);                       /* NOLINT */
    bmm__page_map_enter(is_done ? (uintptr_t)place : old_start, is_done ? whole : old_bytes, span); /* prepared */
    return is_done ? place : NULL;
}

static void *move_mapping(struct bmm__span *span, size_t size)
{
    size_t whole = granules_up(size);
    if (size > PTRDIFF_MAX || whole <= BMM__ARENA_RUN_MAX || whole <= span->span_bytes)
        return NULL;
    void *moved = grow_mapping(span, whole);
    if (moved == NULL)
        return NULL;
    void *side = bmm__exchange_acq_rel(&span->side, NULL);
    if (bmm__process.client != NULL && side != NULL)
        bmm__process.client->span_end(span, side);
    span->start = (uintptr_t)moved;
    bmm__run_set_bytes(span, whole);
    return moved;
}

void *bmm__core_remap(void *slot_start, size_t size, bool keeps)
{
    struct bmm__span *span = bmm__page_map_find((uintptr_t)slot_start);
    if (span->kind != BMM__SPAN_BIG && span->kind != BMM__SPAN_LARGE)
        return NULL;
    if (!bmm__run_restore_rights(span, span->start, span->span_bytes)) /* else it is several mappings */
        return NULL;
    return span->kind == BMM__SPAN_BIG ? move_granules(span, size, keeps) : move_mapping(span, size);
}
