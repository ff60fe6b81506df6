#include "core/valid.h"

#include "core/atomic.h"
#include "core/jit_region.h"
#include "core/let_go.h"
#include "core/page_map.h"
#include "core/remote.h"

/* Length of a list of slots, each checked to be one of the span's; UINT32_MAX: one is not, or it goes in a circle. */
static uint32_t slot_count(const struct bmm__span *span, const struct bmm__list *list)
{
    uint32_t count = 0;
    const void *at = NULL;
    for (const struct bmm__slot_link *slot; (slot = bmm__list_walk(list, &at)) != NULL; count++) {
        uint32_t index;
        if (!bmm__span_slot_at(span, (uintptr_t)slot - span->start, &index) || count > span->slot_count)
            return UINT32_MAX;
    }
    return count;
}

static bool is_mapped(const struct bmm__span *span, const struct bmm__list *list)
{
    for (uintptr_t at = span->start; at < span->start + span->span_bytes; at += BMM__GRANULE) {
        struct bmm__list_place found;
        if (bmm__page_map_find(at) != span || (bmm__page_map_look(at, &found) && bmm__list_at(found) != list))
            return false;
    }
    return true;
}

/* What current and available spans have in common. */
static const char *span_invalid(const struct bmm__heap *heap, struct bmm__span *span, unsigned class_index)
{
    const struct bmm__list *list = bmm__span_list(span);
    if (span->heap != heap || span->list.owner != heap->token || span->class_index != class_index)
        return "P: a span of another heap or class";
    if (!is_mapped(span, list))
        return "M2, H1: entries of a span";
    uint32_t own_count = slot_count(span, list);
    uint64_t word = bmm__load_acquire(&span->remote);
    uint32_t remote_count = BMM__REMOTE_STATE(word) == BMM__REMOTE_CLAIMED ? 0 : BMM__REMOTE_COUNT(word);
    if (span->extended > span->slot_count || own_count > span->extended)
        return "P1: the free list of a span";
    if (own_count + span->waiting_count + remote_count > span->extended ||
        (span->waiting_count != 0) != (span->waiting != 0))
        return "P, P7: more free slots than were ever used";
    return NULL;
}

static const char *available_invalid(const struct bmm__heap *heap, struct bmm__span *span, unsigned class_index)
{
    unsigned state = BMM__REMOTE_STATE(bmm__load_acquire(&span->remote));
    if (state == BMM__REMOTE_CLAIMED)
        return NULL;
    if (span->listed == BMM__LISTED_NOT || state != BMM__REMOTE_OWNED || span->is_shown || span->bias != 0 ||
        span->waiting != 0)
        return "P: state of an available span";
    if (span->list.countdown != span->extended - slot_count(span, &span->list))
        return "P2: live count";
    if ((span->listed == BMM__LISTED_SPARE) != (span->list.countdown == 0) ||
        (span->listed == BMM__LISTED_SPARE && span->next != NULL))
        return "P: a spare span";
    return span_invalid(heap, span, class_index);
}

static const char *bin_invalid(const struct bmm__heap *heap, unsigned class_index)
{
    const struct bmm__bin *bin = &heap->bins[class_index];
    struct bmm__span *current = bin->current;
    if (current != NULL && BMM__REMOTE_STATE(bmm__load_acquire(&current->remote)) == BMM__REMOTE_CLAIMED)
        current = NULL; /* P7 */
    const char *wrong = current == NULL ? NULL : span_invalid(heap, current, class_index);
    if (wrong == NULL && current != NULL &&
        ((current->listed != BMM__LISTED_NOT && current->listed != BMM__LISTED_OPEN) ||
         BMM__REMOTE_STATE(bmm__load_acquire(&current->remote)) != BMM__REMOTE_CURRENT))
        wrong = "P: state of a current span";
    if (wrong == NULL && class_index < BMM__CLASS_COUNT && !bmm__list_is_empty(&heap->lists[class_index].list) &&
        (current == NULL || !current->is_shown))
        wrong = "H1: a list of nothing";
    if (wrong == NULL && current != NULL && current->listed == BMM__LISTED_OPEN &&
        (heap->object != NULL || !bmm__let_go_is_worth_it(current)))
        wrong = "P7: a span that is never open";
    const struct bmm__span *before = NULL;
    for (struct bmm__span *span = bin->first; span != NULL && wrong == NULL; before = span, span = span->next)
        wrong = span->prev != before ? "P1: links" : available_invalid(heap, span, class_index);
    return wrong;
}

static bool is_key_of(struct bmm__span *span, uint32_t key)
{
    return key == bmm__remote_key(&span->list) ||
           (span->class_index < BMM__CLASS_COUNT && key == bmm__remote_key(&span->heap->lists[span->class_index].list));
}

static const char *outbox_invalid(struct bmm__heap *heap)
{
    size_t posted_bytes = 0;
    for (unsigned i = 0; i < BMM__OUTBOX_COUNT; i++) {
        const struct bmm__outbox *box = &heap->outbox[i];
        if ((heap->posted[i / 64] >> i % 64 & 1) != (box->span != NULL))
            return "O3: an entry of an outbox that nobody knows of";
        if (box->span == NULL)
            continue;
        posted_bytes += box->span->span_bytes;
        if (!is_key_of(box->span, box->key))
            return "O1: the key of an outbox";
        if (box->count == 0 || box->count >= BMM__BATCH_SLOTS_MAX || box->count > box->room ||
            bmm__remote_box(heap, box->key) != box || box->count - 1u > bmm__batch_room(box->span->list.slot_bytes))
            return "O1: an outbox";
        for (unsigned k = 0; k < box->count; k++)
            if (box->slots[k] >= box->span->extended)
                return "O1: a slot in an outbox";
    }
    return posted_bytes != heap->posted_bytes ? "O3: bytes of an outbox" : NULL;
}

const char *bmm__heap_invalid(struct bmm__heap *heap)
{
    if ((heap->token & ~(uintptr_t)1) != (uintptr_t)heap)
        return "H2: token";
    if (heap->is_busy)
        return "H3: busy";
    const char *wrong = outbox_invalid(heap);
    for (unsigned index = 0; index < BMM__HEAP_CLASS_COUNT && wrong == NULL; index++)
        wrong = bin_invalid(heap, index);
    return wrong;
}

const char *bmm__run_map_invalid(const struct bmm__run_map *map)
{
    uint32_t unit_count = bmm__load_acquire(&map->unit_count);
    for (uint32_t word = 0; word < (unit_count + 63) / 64; word++) {
        uint64_t beyond = (word + 1) * 64 <= unit_count ? 0 : ~0ull << unit_count % 64;
        if (((map->dirty[word] | map->aged[word]) & beyond) != 0)
            return "R4: marks beyond the end";
        if ((map->dirty[word] & map->used[word]) != 0)
            return "R2: a unit in use is marked dirty";
    }
    return NULL;
}

static bool is_bit(const uint64_t *bits, uint32_t index)
{
    return (bits[index / 64] >> index % 64 & 1) != 0;
}

/* J2, J4: units are walked as a finder would. */
static const char *shared_region_invalid(const struct bmm__jit_region *region)
{
    const uint64_t *used = region->table, *first = used + region->unit_count / 64,
                   *last = first + region->unit_count / 64;
    uint32_t count = 0;
    bool is_inside = false;
    for (uint32_t unit = 0; unit < region->unit_count; unit++) {
        if (is_bit(first, unit) && is_inside)
            return "J2: a piece begins in another";
        count += is_bit(first, unit);
        is_inside = is_inside || is_bit(first, unit);
        if (is_bit(used, unit) != is_inside)
            return "J4: used";
        if (is_bit(last, unit) && !is_inside)
            return "J2: a piece ends that did not begin";
        is_inside = is_inside && !is_bit(last, unit);
    }
    return is_inside ? "J2: a piece does not end" : count != region->piece_count ? "J2: number of pieces" : NULL;
}

static const char *region_invalid(const struct bmm_jit_heap *heap, const struct bmm__jit_region *region)
{
    if (region->heap != heap || region->version % 2 != 0)
        return "J3: at rest";
    if (region->has_two_views != (region->views[0] != region->views[1]))
        return "J: number of views";
    for (size_t at = 0; at < region->bytes; at += BMM__GRANULE)
        for (unsigned view = 0; view < (region->has_two_views ? 2 : 1); view++) {
            const struct bmm__span *span = bmm__page_map_find(region->views[view] + at);
            if (span == NULL || span != region->spans[view] || span->kind != BMM__SPAN_JIT || span->region != region)
                return "J1, M2: entries of a view";
        }
    return region->unit_count == 0 ? (region->own_bytes - 1 < region->bytes ? NULL : "J: size of a piece")
                                   : shared_region_invalid(region);
}

const char *bmm__jit_invalid(const struct bmm_jit_heap *heap)
{
    const char *wrong = heap->is_open ? NULL : "K1: destroyed";
    size_t shared_bytes = 0;
    for (const struct bmm__jit_region *region = heap->own.first; region != NULL && wrong == NULL; region = region->next)
        wrong = region->unit_count != 0 ? "K2: a shared region" : region_invalid(heap, region);
    for (const struct bmm__jit_region *region = heap->shared.first; region != NULL && wrong == NULL;
         region = region->next) {
        wrong = region->unit_count == 0 ? "K2: a region of one piece" : region_invalid(heap, region);
        if (region->piece_count == 0 && region != heap->spare)
            wrong = "K3: an empty region";
        shared_bytes += region->bytes;
    }
    return wrong == NULL && shared_bytes != heap->shared_bytes ? "K2: bytes of shared regions" : wrong;
}
