/* What recorder.c (chunks), recorder_open.c (the first one) and recorder_inherit.c (a child's) share, and nobody else
 * knows. */
#ifndef BMM_RECORDER_STATE_H
#define BMM_RECORDER_STATE_H

#include "recorder.h"
#include "recorder_place.h"

#include "core/lock.h"
#include "core/os.h"

#define BMM__RECORDER_PRIVATE_ENTRIES 64

/* Private, copied by fork. Written under lock. */
struct bmm__recorder_state {
    struct bmm__lock lock;
    char *base;                                /* NULL: never reserved */
    uint64_t capacity, reserved, mapped, used; /* bytes; mapped and used are multiples of the OS page */
    bool has_file; /* the memory at base belongs to a file of this process or, before inherit, of its parent */
    struct bmm__os_file_facts facts;
    char path[BMM__RECORDER_PATH_BYTES];
    struct bmm_snapshot_header private_header;
    struct bmm_snapshot_chunk private_entries[BMM__RECORDER_PRIVATE_ENTRIES];
    uint32_t private_count;
};
extern struct bmm__recorder_state bmm__recorder;

static inline uint64_t bmm__round_up(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static inline struct bmm_snapshot_chunk *bmm__recorder_directory(void)
{
    return (struct bmm_snapshot_chunk *)(void *)(bmm__recorder.base + BMM_SNAPSHOT_CHUNKS_OFFSET);
}

/* Allocated first, then mapped (R1). file is open; the range starts at mapped. */
bool bmm__recorder_map_more(int file, uint64_t bytes);

void bmm__recorder_write_header(struct bmm_snapshot_header *header, uint32_t exec_count, uint32_t flags);

#endif
