/* Statistics: what is live is counted when it is asked for, from the descriptors; what was most is summed up as spans come and
 * go (tally.h). Nothing is counted where blocks are allocated and freed. */
#include "core/stats.h"

#include "core/arena.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/jit_region.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/page_run.h"
#include "core/process.h"
#include "core/run.h"
#include "core/run_map.h"
#include "core/share.h"
#include "core/tally.h"
#include "core/visit.h"

#include <string.h>

static void count(struct bmm_stats_line *line, size_t live_count, size_t live_bytes, size_t all_bytes)
{
    line->live_count += live_count;
    line->live_bytes += live_bytes;
    line->free_bytes += all_bytes - live_bytes;
}

static void count_slots(struct bmm_stats *stats, struct bmm__span *span)
{
    uint32_t slot_bytes = span->list.slot_bytes, live = bmm__visit_live_count(span);
    unsigned class_index = span->class_index % BMM__CLASS_COUNT;
    if (slot_bytes != bmm__class_bytes(class_index)) /* it is another one just now */
        return;
    size_t live_bytes = (size_t)live * slot_bytes;
    count(&stats->classes[class_index], live, live_bytes, span->span_bytes);
    count(&stats->kinds[bmm__tally_kind_of_class(class_index)], live, live_bytes, span->span_bytes);
}

static void count_runs(struct bmm_stats *stats, const struct bmm__span *span)
{
    if (bmm__load_acquire(&span->area) == NULL)
        return;
    struct bmm__page_run run;
    uintptr_t end = span->start + span->span_bytes;
    for (uintptr_t at = span->start; at < end && bmm__load_acquire(&span->kind) == BMM__SPAN_RUNS;
         at = run.start + run.bytes) {
        run = bmm__page_run_find(span, at);
        unsigned kind = run.is_free ? BMM_MEMORY_BIG : bmm__run_kind(span, (enum bmm__use)run.use);
        count(&stats->kinds[kind], !run.is_free, run.is_free ? 0 : run.bytes, run.bytes);
    }
}

static void count_span(struct bmm_stats *stats, struct bmm__span *span)
{
    uint8_t kind = bmm__load_acquire(&span->kind);
    if (kind == BMM__SPAN_UNUSED ||
        (kind != BMM__SPAN_JIT && !bmm__page_map_has(span))) /* whose region says where it is */
        return;
    if (kind == BMM__SPAN_SLOTS && bmm__load_acquire(&span->inverse) != 0) {
        count_slots(stats, span);
    } else if (kind == BMM__SPAN_RUNS) {
        count_runs(stats, span);
    } else if (kind == BMM__SPAN_BIG || kind == BMM__SPAN_LARGE) {
        size_t bytes = span->span_bytes;
        count(&stats->kinds[bmm__run_kind(span, bmm__run_use(span, span->start))], 1, bytes, bytes);
        if (kind == BMM__SPAN_LARGE)
            stats->mapped_bytes += bytes;
    } else if (kind == BMM__SPAN_JIT) {
        struct bmm__jit_count jit = bmm__jit_region_count(span);
        count(&stats->kinds[BMM_MEMORY_JIT], jit.piece_count, jit.live_bytes, jit.bytes);
        stats->mapped_bytes += jit.bytes;
    }
}

static void add_tally(struct bmm_stats_line *line, unsigned index)
{
    line->peak_bytes = bmm__load_relaxed(&bmm__tallies[index].peak_bytes);
    line->purged_bytes = bmm__load_relaxed(&bmm__tallies[index].returned_bytes);
}

void bmm_stats(struct bmm_stats *stats)
{
    bmm__process_start();
    if (bmm__share_owner() != NULL) {
        bmm__share_owner()->stats(stats);
        return;
    }
    memset(stats, 0, sizeof *stats);
    for (struct bmm__span *span = bmm__span_first(); span != NULL; span = span->all_next)
        count_span(stats, span);
    for (unsigned i = 0; i < BMM_STATS_CLASSES; i++) {
        stats->classes[i].block_bytes = bmm__class_bytes(i);
        add_tally(&stats->classes[i], i);
    }
    for (unsigned kind = BMM_MEMORY_SMALL; kind <= BMM_MEMORY_KIND_LAST; kind++)
        add_tally(&stats->kinds[kind], BMM__TALLY_KIND(kind));
    stats->mapped_bytes += bmm__arena_mapped_bytes();
    stats->kept_bytes = bmm__load_relaxed(&bmm__dirty_bytes);
    stats->purged_bytes = bmm__os_purged_bytes();
    stats->resident_bytes = bmm__os_resident_bytes();
}
BMM__SHARE_OWN(bmm_stats);

const char *bmm__stats_kind_name(unsigned kind)
{
    static const char *const names[] = {
        [BMM_MEMORY_SMALL] = "small", [BMM_MEMORY_MEDIUM] = "medium", [BMM_MEMORY_BIG] = "big",
        [BMM_MEMORY_LARGE] = "large", [BMM_MEMORY_PAGES] = "pages",   [BMM_MEMORY_BLOCK] = "block",
        [BMM_MEMORY_JIT] = "jit"
    };
    return names[kind];
}
