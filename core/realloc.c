/* Blocks that change their size: where they are, else to both sides with one move, else by changing page addresses, and
 * only then by taking another block. realloc keeps the content, reget does not:
 *
 *   realloc:  new block ─► copy ─► old block back
 *   reget:    new block ─► old block back, and its memory where that lies apart ─► the program touches the new one
 *
 * so that of two blocks never more is resident than the longer one holds, and whoever gets no new one still has the old.
 */
#include "core/entry.h"

#include "core/client.h"
#include "core/heap_object.h"
#include "core/os.h"
#include "core/page_run.h"
#include "core/process.h"
#include "core/run.h"

#include "brainmm/brainmm.h"
#include "brainmm/snapshot.h"

#include <errno.h>
#include <string.h>

#define RESIDENT_BYTES_MAX ((size_t)65536) /* of a block given up by reget that may stay resident for the next one */

/* A block that grows by little will grow again: it gets a quarter to spare. */
static size_t with_room_to_grow(size_t size, size_t old_bytes)
{
    size_t more = old_bytes + old_bytes / 4;
    return size > old_bytes && size <= more && more <= BMM__SLOT_BYTES_MAX ? more : size;
}

static void *realloc_slot(const struct bmm__span *span, void *p, size_t size, unsigned kind, bool keeps)
{
    bmm__slot_expect_used(&span->list, p);
    size_t old_bytes = span->list.slot_bytes, align = (size_t)1 << span->align_shift;
    if (size <= old_bytes && (size >= old_bytes / 2 || bmm__slot_class(size, align) == span->class_index))
        return p;
    size_t wanted = keeps ? with_room_to_grow(size, old_bytes) : size;
    struct bmm_heap *object = bmm__object_of(span);
    void *moved =
        object != NULL ? bmm__object_alloc(object, wanted, align, false) : bmm__alloc_slow(wanted, align, false, kind);
    if (moved == NULL)
        return size <= old_bytes ? p : NULL;
    if (keeps)
        memcpy(moved, p, size < old_bytes ? size : old_bytes);
    bmm__free(p, SIZE_MAX, 0, kind);
    return moved;
}

/* NULL, and errno as the caller had it. */
static void *alloc_run(size_t size, const struct bmm__page_run *old, struct bmm_heap *object, bool *is_zero)
{
    int saved_errno = errno;
    struct bmm__slot slot;
    size_t align = (size_t)1 << old->align_shift;
    *is_zero = false;
    void *start = NULL;
    if (object != NULL)
        start = bmm__object_alloc(object, size, align, false);
    else if (old->use == BMM__USE_ANY && size <= BMM__SLOT_BYTES_MAX && bmm__core_alloc_slot(size, align, false, &slot))
        start = (void *)slot.start; /* NOLINT */
    else if (old->use != BMM__USE_ANY || size > BMM__SLOT_BYTES_MAX)
        start = bmm__run_alloc(size, align, (enum bmm__use)old->use, is_zero);
    errno = saved_errno;
    return start;
}

/* Another block of the same alignment, for the same use. */
static void *exchange_run(const struct bmm__page_run *old, struct bmm_heap *object, size_t size, bool keeps)
{
    void *p = (void *)old->start; /* NOLINT */
    bool is_zero;
    void *taken = alloc_run(size, old, object, &is_zero);
    if (taken == NULL) {
        if (size > old->bytes)
            errno = ENOMEM;
        return size > old->bytes ? NULL : p;
    }
    if (keeps)
        memcpy(taken, p, size < old->bytes ? size : old->bytes);
    else if (is_zero && old->bytes > RESIDENT_BYTES_MAX)
        bmm__os_purge(p, old->bytes); /* else it would be kept, and the new one become resident beside it */
    bmm__core_free(p);
    return taken;
}

static struct bmm__page_run run_of(const struct bmm__span *span, uintptr_t start)
{
    if (span->kind == BMM__SPAN_RUNS)
        return bmm__page_run_find(span, start);
    return (struct bmm__page_run){ .start = span->start,
                                   .bytes = span->span_bytes,
                                   .align_shift = span->align_shift,
                                   .use = (uint8_t)bmm__run_use(span, start) };
}

/* To the right, to both sides with one move, by changing page addresses, and only then by another block. */
static void *realloc_run(struct bmm__span *span, void *p, size_t size, bool keeps)
{
    struct bmm__page_run run = run_of(span, (uintptr_t)p);
    if (run.use == BMM__USE_MEMORY_BLOCK) {
        errno = EINVAL;
        return NULL;
    }
    bool stays_run = size > BMM__SLOT_BYTES_MAX || run.use == BMM__USE_PAGES;
    if (stays_run && bmm__core_resize(p, size))
        return p;
    if (!bmm__run_restore_rights(span, run.start, run.bytes)) { /* it will be read, or be another's */
        if (size > run.bytes)
            errno = ENOMEM;
        return size > run.bytes ? NULL : p;
    }
    struct bmm_heap *object = bmm__object_of(span);
    void *moved = NULL;
    if (size > run.bytes && span->kind == BMM__SPAN_RUNS)
        moved = bmm__page_run_slide(span, p, size, keeps);
    else if (stays_run && object == NULL)
        moved = bmm__core_remap(p, size, keeps);
    return moved != NULL ? moved : exchange_run(&run, object, size, keeps);
}

static void *change(void *p, size_t size, unsigned kind, bool keeps)
{
    if (p == NULL)
        return bmm__alloc(size, kind);
    if (size == 0) {
        bmm__free(p, SIZE_MAX, 0, kind);
        return NULL;
    }
    if (size > PTRDIFF_MAX) { /* what is rounded up below would come around to 0 */
        errno = ENOMEM;
        return NULL;
    }
    bmm__process_start(); /* it may be another copy's block (share.h) */
    if (bmm__process.client != NULL)
        return keeps ? bmm__process.client->realloc(p, size, kind) : bmm__process.client->reget(p, size, kind);
    struct bmm__span *span = bmm__page_map_find((uintptr_t)p);
    if (!bmm__core_is_start(span, (uintptr_t)p))
        bmm__wrong_free(p);
    return span->kind == BMM__SPAN_SLOTS ? realloc_slot(span, p, size, kind, keeps) : realloc_run(span, p, size, keeps);
}

void *bmm__reget_any(void *p, size_t size, unsigned kind)
{
    return change(p, size, kind, false);
}

/* p is in a slot of the caller's own. */
static __attribute__((noinline)) void *realloc_elsewhere(struct bmm__list *list, void *p, size_t size, unsigned kind)
{
    const struct bmm__span *span = bmm__page_map_find((uintptr_t)p);
    if (size == 0 || size > BMM__SLOT_BYTES_MAX || span->align_shift != BMM__ALIGN_SHIFT_MIN ||
        !bmm__span_is_at_slot(span, (uintptr_t)p - span->start))
        return change(p, size, kind, true);
    if (bmm__size_class(size) == span->class_index)
        return p;
    size_t old_bytes = list->slot_bytes;
    void *moved = bmm__alloc(with_room_to_grow(size, old_bytes), kind);
    if (BMM__UNLIKELY(moved == NULL))
        return size <= old_bytes ? p : NULL;
    memcpy(moved, p, size < old_bytes ? size : old_bytes);
    bmm__free(p, SIZE_MAX, 0, kind); /* not to list: the allocation may have let the span go as full */
    return moved;
}

/* A slot of the caller's own that is long enough, first: no client, nothing to look up. */
void *bmm__realloc_any(void *p, size_t size, unsigned kind)
{
    struct bmm__list_place place;
    uintptr_t index;
    if (BMM__UNLIKELY(!bmm__page_map_look((uintptr_t)p, &place)) || !bmm__list_is_mine(&place) ||
        !bmm__list_may_free(bmm__list_at(place), p, &index))
        return change(p, size, kind, true);
    struct bmm__list *list = bmm__list_at(place);
    if (BMM__LIKELY(size <= list->slot_bytes && size >= list->slot_bytes / 2))
        return p;
    return realloc_elsewhere(list, p, size, kind);
}

void *bmm_realloc(void *p, size_t size)
{
    return bmm__realloc_any(p, size, BMM_KIND_BMM);
}

void *bmm_reget(void *p, size_t size)
{
    return bmm__reget_any(p, size, BMM_KIND_BMM);
}
