/* What a pointer is: answered from descriptors alone, for any 64-bit value, without touching the memory there. */
#include "core/atomic.h"
#include "core/client.h"
#include "core/jit.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/page_run.h"
#include "core/process.h"
#include "core/run.h"
#include "core/share.h"
#include "core/visit.h"

#include "brainmm/brainmm.h"

#include <errno.h>

static bool view_slot(struct bmm__span *span, uintptr_t address, bool in_use, struct bmm__view *view)
{
    uint32_t index = bmm__span_index(span, address - span->start);
    struct bmm__heap *heap = bmm__load_relaxed(&span->heap);
    view->slot_bytes = span->list.slot_bytes;
    view->start = span->start + (uintptr_t)index * span->list.slot_bytes;
    view->kind = view->slot_bytes <= BMM__TINY_BYTES_MAX ? BMM_MEMORY_SMALL : BMM_MEMORY_MEDIUM;
    view->thread_id = heap == NULL ? 0 : bmm__load_relaxed(&heap->thread_id);
    bool is_certain = true;
    bool is_live = index < span->slot_count && (in_use || bmm__visit_is_in_use(span, index, &is_certain));
#ifdef BMM_SECURE
    view->is_exact = true;
#else
    view->is_exact = heap == bmm__heap && is_certain;
#endif
    return is_live;
}

static bool view_run(struct bmm__span *span, uintptr_t address, struct bmm__view *view)
{
    view->start = span->start;
    view->slot_bytes = span->span_bytes;
    view->is_exact = true;
    view->kind = bmm__run_kind(span, bmm__run_use(span, address));
    view->align = (size_t)1 << span->align_shift;
    if (span->kind != BMM__SPAN_RUNS)
        return true;
    struct bmm__page_run run = bmm__page_run_find(span, address);
    view->start = run.start;
    view->slot_bytes = run.bytes;
    view->align = (size_t)1 << run.align_shift;
    return !run.is_free;
}

bool bmm__core_view(uintptr_t address, bool in_use, struct bmm__view *view)
{
    struct bmm__span *span = bmm__page_map_find(address);
    bool is_found = false;
    if (span == NULL)
        return false;
    uint8_t kind = bmm__load_acquire(&span->kind);
    *view = (struct bmm__view){ .align = (size_t)1 << span->align_shift };
    if (kind == BMM__SPAN_SLOTS && bmm__load_acquire(&span->inverse) != 0)
        is_found = view_slot(span, address, in_use, view);
    else if (kind == BMM__SPAN_RUNS || kind == BMM__SPAN_BIG || kind == BMM__SPAN_LARGE)
        is_found = view_run(span, address, view);
    view->size = view->slot_bytes;
    return is_found && address - view->start < view->slot_bytes;
}

static bool find_piece(uintptr_t address, struct bmm_memory_options *options)
{
    struct bmm__jit_view piece;
    if (!bmm__jit_find(address, &piece))
        return false;
    *options = (struct bmm_memory_options){ .start = (void *)piece.start, /* NOLINT */
                                            .size = piece.bytes,
                                            .block_size = (piece.bytes + 15) & ~(size_t)15,
                                            .align = 16,
                                            .kind = BMM_MEMORY_JIT,
                                            .rights = piece.rights,
                                            .exact = true };
    return true;
}

/* False: no live block. */
static bool find(uintptr_t address, bool by_slot, struct bmm_memory_options *options)
{
    struct bmm__view view;
    const struct bmm__client *client = bmm__process.client;
    if (find_piece(address, options))
        return true;
    if (!bmm__core_view(address, client != NULL || by_slot, &view) ||
        (client != NULL && !client->view(address, by_slot, &view)))
        return false;
    int saved_errno = errno, rights = bmm_pages_rights((const void *)address); /* NOLINT */
    errno = saved_errno;
    *options = (struct bmm_memory_options){ .start = (void *)view.start, /* NOLINT */
                                            .size = view.size,
                                            .block_size = view.slot_bytes,
                                            .align = view.align,
                                            .kind = (enum bmm_memory_kind)view.kind,
                                            .rights = rights < 0 ? BMM_RIGHT_UNKNOWN : (unsigned)rights,
                                            .thread_id = view.thread_id,
                                            .exact = view.is_exact };
    return true;
}

bool bmm_memory_options(const void *p, struct bmm_memory_options *options)
{
    bmm__process_start();
    if (bmm__share_owner() != NULL)
        return bmm__share_owner()->memory_options(p, options);
    return find((uintptr_t)p, false, options);
}
BMM__SHARE_OWN(bmm_memory_options);

struct walk {
    bool (*visit)(const struct bmm_memory_options *block, void *context);
    void *context;
};

static bool visit_slot(uintptr_t start, size_t bytes, bool is_certain, void *context)
{
    const struct walk *walk = context;
    struct bmm_memory_options options;
    (void)bytes;
    if (!find(start, true, &options))
        return true;
    options.exact = options.exact && (is_certain || bmm__process.client != NULL);
    return walk->visit(&options, walk->context);
}

void bmm_heap_walk(bool (*visit)(const struct bmm_memory_options *block, void *context), void *context)
{
    struct walk walk = { visit, context };
    bmm__process_start();
    if (bmm__share_owner() != NULL) {
        bmm__share_owner()->heap_walk(visit, context);
        return;
    }
    bmm__core_visit_blocks(visit_slot, &walk);
}
BMM__SHARE_OWN(bmm_heap_walk);
