/* See record.h. Tables are recycled by exact number of slots: there are few different ones. */
#include "record.h"

#include "graveyard.h"

#include "core/assert.h"
#include "core/client.h"
#include "core/lock.h"
#include "core/os.h"

#include <errno.h>
#include <string.h>

#define SPANS_PER_CHUNK_MIN 512u
#define SPANS_PER_CHUNK_MAX 65536u
#define MIRROR_CHUNK_MIN ((size_t)64 << 10)
#define MIRROR_CHUNK_MAX ((size_t)8 << 20)
#define SIZES 512u /* different slot counts that are recycled */
#define BUSY_PAUSES 1000u
#define BUSY_NAPS 5000u /* of a millisecond: whoever is at work may have to wait for a processor */

uint8_t bmm__record_fork_count;

BMM__LOCK(lock, BMM__RANK_CLIENT);

static struct bmm__side *ended; /* pushed by span_end without lock, taken whole under lock */

/* Under lock. */
static struct {
    uint32_t slot_count; /* 0: unused */
    struct bmm__side *first;
} recycled[SIZES];

/* Under lock; of the current epoch. */
static struct {
    char *at;
    size_t left, chunk_bytes;
    struct bmm_snapshot_chunk *chunk;
} mirror_pool;
static struct {
    struct bmm_snapshot_span *base, *at;
    uint32_t left, chunk_entries;
    struct bmm_snapshot_chunk *chunk;
    struct bmm_snapshot_span *unused; /* chained through mirror_offset while start is 0 */
} span_pool;

uint8_t bmm__record_wait_within(const struct bmm__record *record, unsigned *naps)
{
    uint8_t state = bmm__load_acquire(&record->state);
    for (unsigned i = 0; state == bmm__record_busy() && i < BUSY_PAUSES; i++) {
        bmm__pause();
        state = bmm__load_acquire(&record->state);
    }
    for (; state == bmm__record_busy() && *naps > 0; --*naps) {
        bmm__os_nap();
        state = bmm__load_acquire(&record->state);
    }
    return state;
}

uint8_t bmm__record_wait(const struct bmm__record *record)
{
    unsigned naps = BUSY_NAPS;
    return bmm__record_wait_within(record, &naps);
}

void bmm__record_orphan_all(void)
{
    bmm__record_fork_count++;
}

/* ---- recycling, under lock ---- */

static unsigned size_index(uint32_t slot_count)
{
    unsigned i = slot_count * 2654435761u % SIZES;
    for (unsigned tries = 0; tries < SIZES; tries++, i = (i + 1) % SIZES)
        if (recycled[i].slot_count == slot_count || recycled[i].slot_count == 0)
            return i;
    return SIZES;
}

static void recycle_ended(void)
{
    struct bmm__side *side = bmm__exchange_acq_rel(&ended, NULL);
    while (side != NULL) {
        struct bmm__side *next = side->next;
        if (side->entry != NULL && side->epoch == bmm__recorder_epoch) {
            side->entry->mirror_offset = (uintptr_t)span_pool.unused;
            span_pool.unused = side->entry;
        }
        side->entry = NULL;
        unsigned i = size_index(side->slot_count);
        if (i != SIZES) { /* else lost: more different sizes than any set of classes has */
            recycled[i].slot_count = side->slot_count;
            side->next = recycled[i].first;
            recycled[i].first = side;
        }
        side = next;
    }
}

/* Memory for a table that was never used, of which all will be: at once, in place of a fault for each page. */
static void populate(void *table, size_t bytes, const struct bmm__span_view *view)
{
    if (view->is_next && bytes >= 2 * bmm__os_page_bytes())
        bmm__os_populate(table, bytes);
}

static struct bmm__side *take_side(const struct bmm__span_view *view)
{
    uint32_t slot_count = view->slot_count;
    recycle_ended();
    unsigned i = size_index(slot_count);
    size_t record_bytes = slot_count * sizeof(struct bmm__record);
    struct bmm__side *side = i != SIZES ? recycled[i].first : NULL;
    if (side != NULL && recycled[i].slot_count == slot_count) {
        recycled[i].first = side->next;
        memset(side->records, 0, record_bytes); /* B4 */
    } else {
        side = bmm__core_meta_alloc(sizeof *side + record_bytes);
        if (side == NULL)
            return NULL;
        populate(side, sizeof *side + record_bytes, view);
        side->slot_count = slot_count;
    }
    side->next = NULL;
    return side;
}

/* ---- in the recorder, under lock ---- */

static struct bmm_snapshot_mirror *take_mirrors(const struct bmm__span_view *view)
{
    size_t bytes = view->slot_count * sizeof(struct bmm_snapshot_mirror);
    if (mirror_pool.left < bytes) {
        size_t chunk_bytes = mirror_pool.chunk_bytes == 0 ? MIRROR_CHUNK_MIN : mirror_pool.chunk_bytes * 2;
        if (chunk_bytes > MIRROR_CHUNK_MAX)
            chunk_bytes = MIRROR_CHUNK_MAX;
        if (chunk_bytes < bytes)
            chunk_bytes = bytes;
        if ((bmm__load_relaxed(&bmm__recorder_header()->flags) & BMM_SNAPSHOT_FULL) != 0)
            return NULL; /* a private mirror would help nobody */
        char *memory = bmm__recorder_chunk(BMM_CHUNK_MIRROR, chunk_bytes, 0, &mirror_pool.chunk);
        if (memory == NULL || bmm__recorder_offset(memory) == 0)
            return NULL;
        mirror_pool.at = memory;
        mirror_pool.left = mirror_pool.chunk_bytes = chunk_bytes;
    }
    struct bmm_snapshot_mirror *mirrors = (struct bmm_snapshot_mirror *)(void *)mirror_pool.at;
    mirror_pool.at += bytes;
    mirror_pool.left -= bytes;
    populate(mirrors, bytes, view);
    bmm__store_release(&mirror_pool.chunk->used, mirror_pool.chunk->used + bytes);
    return mirrors;
}

static struct bmm_snapshot_span *take_entry(void)
{
    struct bmm_snapshot_span *entry = span_pool.unused;
    if (entry != NULL) {
        span_pool.unused = (struct bmm_snapshot_span *)(uintptr_t)entry->mirror_offset;
        return entry;
    }
    if (span_pool.left == 0) {
        uint32_t entries = span_pool.chunk_entries == 0 ? SPANS_PER_CHUNK_MIN : span_pool.chunk_entries * 2;
        if (entries > SPANS_PER_CHUNK_MAX)
            entries = SPANS_PER_CHUNK_MAX;
        entry = bmm__recorder_chunk(BMM_CHUNK_SPANS, entries * sizeof *entry, 0, &span_pool.chunk);
        if (entry == NULL || bmm__recorder_offset(entry) == 0)
            return NULL;
        span_pool.base = span_pool.at = entry;
        span_pool.left = span_pool.chunk_entries = entries;
    }
    entry = span_pool.at++;
    span_pool.left--;
    bmm__store_release(&span_pool.chunk->used, span_pool.chunk->used + sizeof *entry);
    return entry;
}

/* Gives the side mirrors and an entry of this epoch, as far as there is room. */
static void bind(struct bmm__side *side, const struct bmm__span_view *view)
{
    if (side->epoch != bmm__recorder_epoch) {
        side->mirrors = NULL;
        side->entry = NULL;
    }
    if (bmm__recorder_path() != NULL) {
        if (side->mirrors != NULL)
            memset(side->mirrors, 0, side->slot_count * sizeof *side->mirrors);
        else
            side->mirrors = take_mirrors(view);
        side->entry = side->mirrors != NULL ? take_entry() : NULL;
    }
    if (side->entry != NULL) {
        side->entry->slot_bytes = view->slot_bytes;
        side->entry->slot_count = view->slot_count;
        side->entry->kind = view->kind;
        side->entry->mirror_offset = bmm__recorder_offset(side->mirrors);
        bmm__store_release(&side->entry->start, (uint64_t)view->start); /* last: the entry counts from now on */
    }
    bmm__store_release(&side->epoch, bmm__recorder_epoch);
}

struct bmm__side *bmm__side_make_now(struct bmm__span *span)
{
    struct bmm__side **place = (struct bmm__side **)(void *)bmm__core_span_side(span);
    struct bmm__span_view view = bmm__core_span_view(span);
    int saved_errno = errno; /* the recorder may grow */
    bmm__lock_take(&lock);
    struct bmm__side *side = bmm__load_acquire(place);
    if (side == NULL) {
        side = take_side(&view);
        if (side != NULL) {
            bind(side, &view);
            bmm__store_release(place, side); /* release: the tables before the pointer; acquire in side_of */
        }
    } else if (side->epoch != bmm__recorder_epoch) {
        bind(side, &view);
    }
    bmm__lock_release(&lock);
    errno = saved_errno;
    return side;
}

void bmm__side_end(struct bmm__span *span, void *ended_side)
{
    struct bmm__side *side = ended_side;
    if (side->slot_count == 1)
        bmm__graveyard_bury(bmm__core_span_view(span).start, &side->records[0]);
    /* Without a settled process the entry is the parent's. */
    if (side->entry != NULL && side->epoch == bmm__recorder_epoch && bmm__recorder_is_open())
        bmm__store_release(&side->entry->start, 0u);
    struct bmm__side *first = bmm__load_relaxed(&ended);
    do
        side->next = first;
    while (!bmm__cas_weak_acq_rel(&ended, &first, side));
}

void bmm__record_fork_child(void)
{
    bmm__lock_reset(&lock);
    memset(&mirror_pool, 0, sizeof mirror_pool);
    span_pool.at = span_pool.base; /* emptied, and in its place in the child's file */
    span_pool.left = span_pool.chunk_entries;
    span_pool.unused = NULL;
}
