/* See recorder_sweep.h. */
#include "recorder_sweep.h"

#include "recorder_place.h"

#include "brainmm/snapshot.h"

#include "core/os.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NAME_BYTES 64

struct orphan {
    uint64_t birth; /* of its process, as its name says */
    char name[NAME_BYTES];
};

struct sweep {
    char path[BMM__RECORDER_PATH_BYTES + NAME_BYTES]; /* the directory with its slash, and a name behind it */
    size_t directory_bytes;
    uint32_t found_count; /* recorders of whatever kind */
    struct orphan newest[BMM__RECORDER_ORPHANS_MAX];
    uint32_t count;
};

/* Of a recorder's name, which is short. */
static const char *path_of(struct sweep *s, const char *name)
{
    memcpy(s->path + s->directory_bytes, name, strlen(name) + 1);
    return s->path;
}

static bool take_number(const char **at, uint64_t *number)
{
    const char *start = *at;
    *number = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++)
        *number = *number * 10 + (uint64_t)(**at - '0');
    return *at != start;
}

/* brainmm.<pid>.<birth>.<n>.bmm */
static bool is_recorder(const char *name, uint64_t *birth)
{
    uint64_t ignored;
    const char *at = name + strlen("brainmm.");
    return strncmp(name, "brainmm.", strlen("brainmm.")) == 0 && strlen(name) < NAME_BYTES &&
           take_number(&at, &ignored) && *at++ == '.' && take_number(&at, birth) && *at++ == '.' &&
           take_number(&at, &ignored) && strcmp(at, ".bmm") == 0;
}

static bool is_without_errors(int file)
{
    struct bmm_snapshot_header header;
    if (bmm__os_file_read_at(file, 0, &header, sizeof header) != (long)sizeof header ||
        memcmp(header.magic, BMM_SNAPSHOT_MAGIC, sizeof header.magic) != 0)
        return false;
    for (uint32_t i = 0; i < header.chunk_count && i < BMM_SNAPSHOT_CHUNKS_MAX; i++) {
        struct bmm_snapshot_chunk chunk;
        uint32_t is_committed;
        if (bmm__os_file_read_at(file, header.chunks_offset + i * sizeof chunk, &chunk, sizeof chunk) !=
            (long)sizeof chunk)
            return false;
        if (chunk.type == BMM_CHUNK_ERRORS)
            return bmm__os_file_read_at(file, chunk.offset + offsetof(struct bmm_snapshot_error, committed),
                                        &is_committed, sizeof is_committed) == (long)sizeof is_committed &&
                   is_committed == 0;
    }
    return false; /* it has not begun */
}

static bool is_orphan(const char *path)
{
    int file = bmm__os_file_reopen(path);
    if (file < 0)
        return false;
    bool is = bmm__os_file_is_abandoned(file) && is_without_errors(file);
    bmm__os_file_close(file);
    return is;
}

/* Keeps it among the newest, of which the oldest goes when there are too many. */
static void keep(struct sweep *s, const char *name, uint64_t birth)
{
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < s->count; i++)
        if (s->newest[i].birth < s->newest[oldest].birth)
            oldest = i;
    struct orphan *place = &s->newest[s->count < BMM__RECORDER_ORPHANS_MAX ? s->count++ : oldest];
    if (place->name[0] != '\0') {
        bmm__os_file_remove(path_of(s, birth > place->birth ? place->name : name));
        if (birth <= place->birth)
            return;
    }
    place->birth = birth;
    memcpy(place->name, name, strlen(name) + 1);
}

static void count_one(const char *name, void *sweep)
{
    struct sweep *s = sweep;
    uint64_t birth;
    s->found_count += is_recorder(name, &birth);
}

static void sweep_one(const char *name, void *sweep)
{
    struct sweep *s = sweep;
    uint64_t birth;
    if (is_recorder(name, &birth) && is_orphan(path_of(s, name)))
        keep(s, name, birth);
}

void bmm__recorder_sweep(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct sweep s = { .directory_bytes = slash != NULL ? (size_t)(slash + 1 - path) : 0 };
    if (s.directory_bytes == 0 || s.directory_bytes >= BMM__RECORDER_PATH_BYTES)
        return;
    char directory[BMM__RECORDER_PATH_BYTES];
    memcpy(s.path, path, s.directory_bytes);
    memcpy(directory, path, s.directory_bytes);
    directory[s.directory_bytes] = '\0';
    bmm__os_directory_list(directory, count_one, &s);
    if (s.found_count > BMM__RECORDER_ORPHANS_MAX)
        bmm__os_directory_list(directory, sweep_one, &s);
}
