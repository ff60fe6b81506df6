/* A forked child's recorder: its own, with what is inherited at its place. See recorder.h. Knows, per chunk type, what of
 * it a child inherits; not what is in it. */
#include "recorder_lost.h"
#include "recorder_state.h"

#include "sandbox.h"

#include <string.h>

enum inheritance { EMPTY, COPY, HOLE };

static uint32_t stack_count; /* of the depot, at the fork */

/* HOLE: room that nobody writes any more; no space is allocated for it. Mirrors of inherited blocks stay there unread:
 * the child's span table begins empty, and a span that the child uses gets a new mirror. */
static enum inheritance inheritance_of(const struct bmm_snapshot_chunk *chunk)
{
    switch ((enum bmm_chunk_type)chunk->type) {
    case BMM_CHUNK_COMMAND:
    case BMM_CHUNK_OPTIONS:
    case BMM_CHUNK_STACKS:
    case BMM_CHUNK_MODULES:
    case BMM_CHUNK_THREADS:
    case BMM_CHUNK_CODE:
    case BMM_CHUNK_EXPECTED:
        return COPY;
    case BMM_CHUNK_MIRROR:
        return HOLE;
    case BMM_CHUNK_SPANS:
    case BMM_CHUNK_ERRORS:
    case BMM_CHUNK_UNCHECKED:
    case BMM_CHUNK_NOTES:
    case BMM_CHUNK_TYPES:
        break;
    }
    return EMPTY;
}

/* Bytes at the chunk's start to copy; the last chunk of stacks may be large and nearly empty. */
static uint64_t inherited_bytes(const struct bmm_snapshot_chunk *chunk)
{
    if (inheritance_of(chunk) != COPY)
        return 0;
    if (chunk->type != BMM_CHUNK_STACKS)
        return chunk->used != 0 ? chunk->used : chunk->bytes;
    uint64_t bytes = stack_count > chunk->first ? (stack_count - chunk->first) * sizeof(uint32_t) : 0;
    return bytes < chunk->bytes ? bytes : chunk->bytes;
}

/* The parent's other threads go on appending chunks: what is past our own `used` is not ours. */
static bool is_ours(const struct bmm_snapshot_chunk *chunk)
{
    return chunk->offset + chunk->bytes <= bmm__recorder.used;
}

/* Allocates [offset, offset + bytes) of the new file, and copies the first used bytes of it from what base shows now,
 * through a window elsewhere. */
static bool copy_to_file(int file, uint64_t offset, uint64_t bytes, uint64_t used)
{
    if (!bmm__os_file_allocate(file, offset, bytes))
        return false;
    if (used == 0)
        return true;
    size_t window_bytes = (size_t)bmm__round_up(used, BMM__GRANULE);
    char *window = bmm__os_reserve(window_bytes, BMM__GRANULE);
    if (window == NULL)
        return false;
    bool is_mapped = bmm__os_file_map(file, offset, (size_t)bmm__round_up(used, bmm__os_page_bytes()), window) != NULL;
    if (is_mapped)
        memcpy(window, bmm__recorder.base + offset, (size_t)used);
    bmm__os_release(window, window_bytes);
    return is_mapped;
}

static bool copy_all_to_file(int file)
{
    const struct bmm_snapshot_header *header = bmm__recorder_header();
    if (!copy_to_file(file, 0, BMM_SNAPSHOT_DATA_OFFSET, BMM_SNAPSHOT_DATA_OFFSET))
        return false;
    for (uint32_t i = 0; i < header->chunk_count; i++) {
        const struct bmm_snapshot_chunk *chunk = &bmm__recorder_directory()[i];
        if (is_ours(chunk) && inheritance_of(chunk) != HOLE &&
            !copy_to_file(file, chunk->offset, chunk->bytes, inherited_bytes(chunk)))
            return false;
    }
    return bmm__os_file_allocate(file, bmm__recorder.used - bmm__os_page_bytes(), bmm__os_page_bytes()) &&
           bmm__os_file_map(file, 0, (size_t)bmm__recorder.used, bmm__recorder.base) != NULL;
}

static void copy_all(char *to, const char *from)
{
    const struct bmm_snapshot_header *header = (const struct bmm_snapshot_header *)(const void *)from;
    const struct bmm_snapshot_chunk *chunks = (const void *)(from + BMM_SNAPSHOT_CHUNKS_OFFSET);
    memcpy(to, from, BMM_SNAPSHOT_DATA_OFFSET);
    for (uint32_t i = 0; i < header->chunk_count; i++)
        if (is_ours(&chunks[i]))
            memcpy(to + chunks[i].offset, from + chunks[i].offset, (size_t)inherited_bytes(&chunks[i]));
}

/* The same at the same addresses, but in private memory; piece by piece, holes left as they are. */
static bool make_private(void)
{
    size_t bytes = (size_t)bmm__round_up(bmm__recorder.used, BMM__GRANULE);
    char *copy = bmm__os_map(bytes, bmm__os_page_bytes());
    if (copy == NULL)
        return false;
    copy_all(copy, bmm__recorder.base);
    bool is_private = bmm__os_private_map(bmm__recorder.base, (size_t)bmm__recorder.mapped);
    if (is_private)
        copy_all(bmm__recorder.base, copy);
    bmm__os_release(copy, bytes);
    return is_private;
}

static void make_own(uint32_t exec_count)
{
    struct bmm_snapshot_header *header = bmm__recorder_header();
    uint32_t kept = header->chunk_count;
    while (kept > 0 &&
           bmm__recorder_directory()[kept - 1].offset + bmm__recorder_directory()[kept - 1].bytes > bmm__recorder.used)
        kept--; /* the parent's other threads added these after the fork */
    header->chunk_count = kept;
    header->file_bytes = bmm__recorder.used;
    for (uint32_t i = 0; i < kept; i++)
        if (inheritance_of(&bmm__recorder_directory()[i]) == EMPTY)
            bmm__recorder_directory()[i].used = 0;
    bmm__recorder_write_header(header, exec_count,
                               BMM_SNAPSHOT_FORKED | (header->flags & (BMM_SNAPSHOT_FULL | BMM_SNAPSHOT_BYPASSED)));
}

uint32_t bmm__recorder_inherit(bool wants_file, uint32_t stacks)
{
    stack_count = stacks;
    bmm__recorder_epoch++;
    /* After a raw clone another thread's hold of the lock was copied, and no fork handler made it new. */
    bmm__lock_reset(&bmm__recorder.lock);
    if (!bmm__recorder.has_file) {
        if (wants_file)
            bmm__lost_child();
        bmm__recorder_write_header(bmm__recorder_header(), 0, BMM_SNAPSHOT_FORKED);
        return BMM__RECORDER_PRIVATE;
    }
    uint32_t exec_count = 0;
    int file = wants_file && !bmm__sandbox_is_closed() ? bmm__recorder_place(bmm__recorder.path, &exec_count) : -1;
    bool has_file = file >= 0 && bmm__os_file_facts(file, &bmm__recorder.facts) && copy_all_to_file(file);
    if (file >= 0)
        bmm__os_file_close(file);
    if (has_file) {
        bmm__recorder.mapped = bmm__recorder.used; /* what lies behind is still the parent's; grow_to maps over it */
        make_own(exec_count);
        bmm__lost_is_found();
        return BMM__RECORDER_FILE;
    }
    if (file >= 0)
        bmm__os_file_remove(bmm__recorder.path);
    if (wants_file)
        bmm__lost_child();
    if (!make_private())
        return BMM__RECORDER_UNSETTLED;
    bmm__recorder.has_file = false;
    make_own(0);
    return BMM__RECORDER_PRIVATE;
}
