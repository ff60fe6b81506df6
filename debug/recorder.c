/* See recorder.h. Knows nothing of what is in a chunk. */
#include "recorder_state.h"

#include "sandbox.h"

#include "core/assert.h"
#include "core/client.h"
#include "core/lock.h"
#include "core/os.h"

#include <errno.h>
#include <string.h>

#define STEP_BYTES_MIN ((uint64_t)128 << 10) /* a build has thousands of short processes, each with its file */
#define STEP_BYTES_MAX ((uint64_t)32 << 20)
#define ROOM_BYTES ((uint64_t)4 << 20) /* for all that comes after a seccomp filter */

_Static_assert(sizeof(struct bmm_snapshot_header) <= BMM_SNAPSHOT_HEADER_BYTES, "the header has its own page");
_Static_assert(BMM_SNAPSHOT_CHUNKS_OFFSET + BMM_SNAPSHOT_CHUNKS_MAX * sizeof(struct bmm_snapshot_chunk) <=
                   BMM_SNAPSHOT_DATA_OFFSET,
               "the chunk directory lies before the chunks");

static struct bmm__recorder_process not_wiped; /* where the system wipes nothing: fork_child of process.c does */
struct bmm__recorder_process *bmm__recorder_process = &not_wiped;
uint32_t bmm__recorder_epoch;

struct bmm__recorder_state bmm__recorder = { .lock = BMM__LOCK_INIT(BMM__RANK_RECORDER) };
BMM__LOCK_ENTRY(recorder, bmm__recorder.lock);

struct bmm_snapshot_header *bmm__recorder_header(void)
{
    return bmm__recorder.base != NULL ? (struct bmm_snapshot_header *)(void *)bmm__recorder.base
                                      : &bmm__recorder.private_header;
}

const char *bmm__recorder_path(void)
{
    return bmm__recorder.has_file ? bmm__recorder.path : NULL;
}

bool bmm__recorder_is_named(void)
{
    return bmm__recorder.has_file && (bmm__sandbox_is_closed() || !bmm__os_is_missing(bmm__recorder.path));
}

uint64_t bmm__recorder_offset(const void *in_chunk)
{
    uintptr_t distance = (uintptr_t)in_chunk - (uintptr_t)bmm__recorder.base;
    return bmm__recorder.base != NULL && distance < bmm__recorder.mapped ? distance : 0;
}

static uint64_t stopped_ns; /* constant in a strict sandbox */

uint64_t bmm__recorder_now_ns(void)
{
    return bmm__sandbox_is_strict() ? stopped_ns : bmm__os_clock_mono_ns() - bmm__recorder_header()->start_mono_ns;
}

void bmm__recorder_stop_clock(void)
{
    stopped_ns = bmm__recorder_now_ns();
}

void bmm__recorder_flag(enum bmm_snapshot_flag flag)
{
    bmm__or_acq_rel(&bmm__recorder_header()->flags, (uint32_t)flag);
}

/* ---- growing ---- */

static bool reserve_to(uint64_t end)
{
    if (end <= bmm__recorder.reserved)
        return true;
    uint64_t more = bmm__round_up(end, BMM__GRANULE) - bmm__recorder.reserved;
    if (!bmm__os_reserve_at(bmm__recorder.base + bmm__recorder.reserved, (size_t)more))
        return false;
    bmm__recorder.reserved += more;
    return true;
}

bool bmm__recorder_map_more(int file, uint64_t bytes)
{
    if (!reserve_to(bmm__recorder.mapped + bytes))
        return false;
    if (!bmm__os_file_allocate(file, bmm__recorder.mapped, bytes))
        return false;
    if (bmm__os_file_map(file, bmm__recorder.mapped, (size_t)bytes, bmm__recorder.base + bmm__recorder.mapped) == NULL)
        return false;
    bmm__recorder.mapped += bytes;
    return true;
}

static int reopen(void)
{
    int file = bmm__os_file_reopen(bmm__recorder.path);
    struct bmm__os_file_facts facts;
    if (file >= 0 && (!bmm__os_file_facts(file, &facts) || facts.volume != bmm__recorder.facts.volume ||
                      facts.number != bmm__recorder.facts.number)) {
        bmm__os_file_close(file); /* someone put another file there (R5) */
        return -1;
    }
    return file;
}

static bool grow_to(uint64_t end)
{
    if (end > bmm__recorder.capacity || bmm__sandbox_is_closed())
        return false;
    uint64_t step = bmm__recorder.mapped / 4;
    step = step < STEP_BYTES_MIN ? STEP_BYTES_MIN : step > STEP_BYTES_MAX ? STEP_BYTES_MAX : step;
    uint64_t target = bmm__recorder.mapped + step > end ? bmm__recorder.mapped + step : end;
    target = bmm__round_up(target, STEP_BYTES_MIN); /* mapped stays a multiple of the OS page */
    if (target > bmm__recorder.capacity)
        target = bmm__recorder.capacity;
    int file = reopen();
    if (file < 0)
        return false;
    uint64_t page = bmm__os_page_bytes();
    bool is_grown = bmm__recorder_map_more(file, target - bmm__recorder.mapped) ||
                    bmm__recorder_map_more(file, bmm__round_up(end, page) -
                                                     bmm__recorder.mapped); /* the last bytes of a full disk */
    bmm__os_file_close(file);
    return is_grown;
}

/* Without signals: a stack that is captured in a handler may need a chunk, too. */
static uint64_t lock(void)
{
    uint64_t mask = bmm__os_block_signals();
    bmm__lock_take(&bmm__recorder.lock);
    return mask;
}

static void unlock(uint64_t mask)
{
    bmm__lock_release(&bmm__recorder.lock);
    bmm__os_restore_signals(mask);
}

void bmm__recorder_make_room(void)
{
    int saved_errno = errno;
    uint64_t mask = lock();
    uint64_t wanted = bmm__recorder.used + ROOM_BYTES;
    if (bmm__recorder.has_file && wanted > bmm__recorder.mapped)
        grow_to(wanted < bmm__recorder.capacity ? wanted : bmm__recorder.capacity);
    unlock(mask);
    errno = saved_errno;
}

/* ---- chunks ---- */

static void *private_chunk(enum bmm_chunk_type type, size_t bytes, uint64_t first, struct bmm_snapshot_chunk **entry)
{
    void *memory = bmm__core_meta_alloc(bytes);
    struct bmm_snapshot_chunk *own = bmm__recorder.private_count < BMM__RECORDER_PRIVATE_ENTRIES
                                         ? &bmm__recorder.private_entries[bmm__recorder.private_count++]
                                         : bmm__core_meta_alloc(sizeof *own);
    if (memory == NULL || own == NULL)
        return NULL;
    *own = (struct bmm_snapshot_chunk){ .type = (uint32_t)type, .bytes = bytes, .first = first };
    if (entry != NULL)
        *entry = own;
    return memory;
}

static void *file_chunk(enum bmm_chunk_type type, size_t bytes, uint64_t first, struct bmm_snapshot_chunk **entry)
{
    struct bmm_snapshot_header *header = bmm__recorder_header();
    if (header->chunk_count == BMM_SNAPSHOT_CHUNKS_MAX)
        return NULL;
    uint64_t end = bmm__recorder.used + bytes;
    if (end > bmm__recorder.mapped && !grow_to(end))
        return NULL;
    struct bmm_snapshot_chunk *own = &bmm__recorder_directory()[header->chunk_count];
    *own = (struct bmm_snapshot_chunk){
        .type = (uint32_t)type, .offset = bmm__recorder.used, .bytes = bytes, .first = first
    };
    bmm__recorder.used = end;
    bmm__store_release(&header->file_bytes, end);
    bmm__store_release(&header->chunk_count, header->chunk_count + 1); /* release: the entry before its count (S2) */
    if (entry != NULL)
        *entry = own;
    return bmm__recorder.base + own->offset;
}

void *bmm__recorder_chunk(enum bmm_chunk_type type, size_t bytes, uint64_t first, struct bmm_snapshot_chunk **entry)
{
    int saved_errno = errno;
    bytes = (size_t)bmm__round_up(bytes, bmm__os_page_bytes()); /* R4 */
    uint64_t mask = lock();
    void *memory = NULL;
    if (bmm__recorder.has_file) {
        memory = file_chunk(type, bytes, first, entry);
        if (memory == NULL)
            bmm__recorder_flag(BMM_SNAPSHOT_FULL);
    }
    if (memory == NULL)
        memory = private_chunk(type, bytes, first, entry);
    unlock(mask);
    errno = saved_errno;
    return memory;
}
