#include "core/run.h"

#include "core/atomic.h"
#include "core/huge.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/page_run.h"
#include "core/purge.h"
#include "core/tally.h"

#define USE(span) ((enum bmm__use)(bmm__load_relaxed(&(span)->use) & BMM__SPAN_USE))

static struct bmm__span *open_at(size_t size, size_t whole, size_t align, bool *is_zero)
{
    struct bmm__span *span = bmm__span_open(whole, align, BMM__SPAN_BIG, is_zero);
    if (span != NULL)
        return span;
    *is_zero = true;
    return bmm__span_open_large(size, align);
}

/* Where huge pages can be; under a limit there may be no room for that. */
static struct bmm__span *open_span(size_t size, size_t align, bool *is_zero)
{
    size_t whole = (size + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1), filled = bmm__huge_fill(0, whole);
    size_t place = bmm__huge_align(filled, align);
    struct bmm__span *span = open_at(size, filled, place, is_zero);
    return span != NULL || (filled == whole && place == align) ? span : open_at(size, whole, align, is_zero);
}

void *bmm__run_alloc(size_t size, size_t align, enum bmm__use use, bool *is_zero)
{
    if (use != BMM__USE_HEAP && size <= BMM__PAGE_RUN_BYTES_MAX && align <= BMM__PAGE_RUN_ALIGN_MAX) {
        void *start = bmm__page_run_alloc(size, align, use, is_zero);
        if (start != NULL)
            return start;
    }
    struct bmm__span *span = open_span(size, align, is_zero);
    if (span == NULL && bmm__page_map_has_room(size)) { /* else no purge can help */
        bmm__purge_for_room();
        span = open_span(size, align, is_zero);
    }
    if (span == NULL)
        return NULL;
    if (bmm__is_huge(span->span_bytes))
        bmm__huge_use(span);
    span->align_shift = (uint8_t)__builtin_ctzll(align);
    bmm__run_set_use(span, use);
    return (void *)span->start; /* NOLINT */
}

unsigned bmm__run_kind(const struct bmm__span *span, enum bmm__use use)
{
    static const uint8_t kind_of_use[] = { [BMM__USE_ANY] = BMM_MEMORY_BIG,
                                           [BMM__USE_PAGES] = BMM_MEMORY_PAGES,
                                           [BMM__USE_MEMORY_BLOCK] = BMM_MEMORY_BLOCK,
                                           [BMM__USE_HEAP] = BMM_MEMORY_BIG };
    return span->kind == BMM__SPAN_LARGE && (use == BMM__USE_ANY || use == BMM__USE_HEAP) ? BMM_MEMORY_LARGE
                                                                                          : kind_of_use[use];
}

void bmm__run_set_use(struct bmm__span *span, enum bmm__use use)
{
    if (use == USE(span))
        return;
    bmm__tally_sub(BMM__TALLY_KIND(bmm__run_kind(span, USE(span))), span->span_bytes);
    bmm__store_relaxed(&span->use, (uint8_t)((span->use & BMM__SPAN_HAS_RIGHTS) | use));
    bmm__tally_add(BMM__TALLY_KIND(bmm__run_kind(span, use)), span->span_bytes);
}

void bmm__run_set_bytes(struct bmm__span *span, size_t bytes)
{
    unsigned line = BMM__TALLY_KIND(bmm__run_kind(span, USE(span)));
    if (bytes > span->span_bytes)
        bmm__tally_add(line, bytes - span->span_bytes);
    else
        bmm__tally_sub(line, span->span_bytes - bytes);
    span->span_bytes = bytes;
}

enum bmm__use bmm__run_use(const struct bmm__span *span, uintptr_t address)
{
    return span->kind == BMM__SPAN_RUNS ? (enum bmm__use)bmm__page_run_find(span, address).use : USE(span);
}

bool bmm__run_is_start(uintptr_t address, enum bmm__use use)
{
    const struct bmm__span *span = bmm__page_map_find(address);
    return bmm__core_is_start(span, address) && span->kind != BMM__SPAN_SLOTS && bmm__run_use(span, address) == use;
}

/* ---- access rights ---- */

void bmm__run_note_rights(struct bmm__span *span, uintptr_t start, uintptr_t end)
{
    if (span->kind == BMM__SPAN_RUNS)
        bmm__page_run_note_rights(span, start, end);
    else if (span->kind != BMM__SPAN_JIT) /* whose memory is nobody else's ever */
        bmm__or_acq_rel(&span->use, BMM__SPAN_HAS_RIGHTS);
}

/* Where all of a span is concerned it is as new; a part leaves it noted. */
bool bmm__run_restore_rights(struct bmm__span *span, uintptr_t start, size_t bytes)
{
    if (span->kind == BMM__SPAN_RUNS)
        return bmm__page_run_restore_rights(span, start, bytes);
    if ((bmm__load_acquire(&span->use) & BMM__SPAN_HAS_RIGHTS) == 0)
        return true;
    if (!bmm__os_commit((void *)start, bytes)) /* NOLINT */
        return false;
    if (bytes == span->span_bytes)
        bmm__and_acq_rel(&span->use, (uint8_t)~BMM__SPAN_HAS_RIGHTS);
    return true;
}

bool bmm__run_has_rights(const struct bmm__span *span, uintptr_t address)
{
    if (span->kind == BMM__SPAN_JIT)
        return true;
    if (span->kind == BMM__SPAN_RUNS)
        return bmm__page_run_has_rights(span, address);
    return (bmm__load_acquire(&span->use) & BMM__SPAN_HAS_RIGHTS) != 0;
}

bool bmm__core_restore_rights(const struct bmm__slot *slot)
{
    return bmm__run_restore_rights(slot->span, slot->start, slot->bytes);
}
