/* The first recorder of a process: reserved, created, begun. See recorder.h. */
#include "recorder_state.h"

#include "machine.h"
#include "options.h"

#include <string.h>

#define BYTES_FIRST ((uint64_t)320 << 10) /* what a small program needs in all */
#define CAPACITY_MIN BMM__OPTIONS_RECORDER_BYTES_MIN
_Static_assert(BYTES_FIRST % BMM__GRANULE == 0, "it is reserved");

void bmm__recorder_write_header(struct bmm_snapshot_header *header, uint32_t exec_count, uint32_t flags)
{
    memcpy(header->magic, BMM_SNAPSHOT_MAGIC, sizeof header->magic);
    header->version = BMM_SNAPSHOT_VERSION;
    header->header_bytes = BMM_SNAPSHOT_HEADER_BYTES;
    header->byte_order = BMM_SNAPSHOT_BYTE_ORDER;
    header->word_bits = (uint32_t)sizeof(void *) * 8;
    header->machine = BMM__MACHINE;
    header->pid = bmm__os_process_id();
    header->ppid = bmm__os_parent_id();
    header->exec_count = exec_count;
    header->start_unix_ns = bmm__os_clock_real_ns();
    header->start_mono_ns = bmm__os_clock_mono_ns();
    header->mode = (uint32_t)bmm__options.mode;
    header->state = BMM_SNAPSHOT_RUNNING;
    header->flags = flags;
    header->exit_status = -1;
    header->chunk_capacity = BMM_SNAPSHOT_CHUNKS_MAX;
    header->chunks_offset = BMM_SNAPSHOT_CHUNKS_OFFSET;
    header->exit_unix_ns = 0;
    header->alloc_count = header->free_count = header->peak_bytes = 0;
    header->is_exiting = 0;
    header->lost_children = header->lost_programs = header->lost_sandboxed = header->lost_pid = 0;
    header->image = bmm__recorder_image();
}

/* Never more than an eighth of a limited address space: the program needs it more. */
static uint64_t wanted_bytes(void)
{
    uint64_t bytes = bmm__options.recorder_bytes_max;
    uint64_t limit = bmm__os_address_limit();
    if (limit != UINT64_MAX && bytes > limit / 8)
        bytes = limit / 8;
    if (bytes < CAPACITY_MIN)
        bytes = CAPACITY_MIN;
    if (bytes > SIZE_MAX / 4)
        bytes = SIZE_MAX / 4;
    return bmm__round_up(bytes, BMM__GRANULE);
}

/* A place to grow in or, where there is none, all at once, down a ladder. */
static bool reserve(void)
{
    uint64_t bytes = wanted_bytes();
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        char *place = bmm__os_quiet_corner(BMM__GRANULE);
        if (place == NULL || !bmm__os_reserve_at(place, BYTES_FIRST))
            continue;
        bmm__recorder.base = place;
        bmm__recorder.reserved = BYTES_FIRST;
        bmm__recorder.capacity = bytes;
        return true;
    }
    for (; bytes >= CAPACITY_MIN; bytes = bmm__round_up(bytes / 2, BMM__GRANULE)) {
        bmm__recorder.base = bmm__os_reserve((size_t)bytes, BMM__GRANULE);
        if (bmm__recorder.base != NULL) {
            bmm__recorder.reserved = bmm__recorder.capacity = bytes;
            return true;
        }
    }
    return false;
}

void bmm__recorder_prepare(void)
{
    struct bmm__recorder_process *page = bmm__os_page_wiped_on_fork();
    if (page != NULL)
        bmm__recorder_process = page;
}

bool bmm__recorder_create(void)
{
    uint32_t exec_count = 0;
    int file = -1;
    bmm__recorder_epoch = 1;
    if (reserve())
        file = bmm__recorder_place(bmm__recorder.path, &exec_count);
    bmm__recorder.has_file =
        file >= 0 && bmm__os_file_facts(file, &bmm__recorder.facts) && bmm__recorder_map_more(file, BYTES_FIRST);
    if (file >= 0) {
        bmm__os_file_close(file);
        if (!bmm__recorder.has_file)
            bmm__os_file_remove(bmm__recorder.path);
    }
    if (!bmm__recorder.has_file && bmm__recorder.base != NULL) {
        bmm__os_release(bmm__recorder.base, (size_t)bmm__recorder.reserved);
        bmm__recorder.base = NULL;
    }
    struct bmm_snapshot_header *header = bmm__recorder_header();
    bmm__recorder.used = BMM_SNAPSHOT_DATA_OFFSET;
    bmm__recorder_write_header(header, exec_count, 0);
    header->file_bytes = bmm__recorder.used;
    if (bmm__recorder.has_file && bmm__options.directory == NULL)
        bmm__recorder_remove_predecessors(bmm__recorder.path);
    return bmm__recorder.has_file;
}
