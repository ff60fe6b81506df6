/* See unchecked.h. */
#include "unchecked.h"

#include "exit.h"
#include "process.h"
#include "recorder_place.h"
#include "target.h"

#include "core/os.h"

#include <string.h>

#define ROOM_BYTES 16384u

static char *room; /* constant after open; NULL: none */
static struct bmm_snapshot_chunk *entry;
static uint32_t taken;                /* bytes of room given out */
static const char *library_name = ""; /* "": not preloaded */

void bmm__unchecked_open(void)
{
    room = bmm__recorder_chunk(BMM_CHUNK_UNCHECKED, ROOM_BYTES, 0, &entry);
}

void bmm__unchecked_fork_child(void)
{
    taken = 0;
}

static bool is_preload_of(const char *variable)
{
    return strncmp(variable, "LD_PRELOAD=", 11) == 0 && strstr(variable + 11, library_name) != NULL;
}

void bmm__unchecked_start(void)
{
    const char *name = bmm__library_name();
    const char *preload = bmm__os_environment("LD_PRELOAD");
    if (*name != '\0' && preload != NULL && strstr(preload, name) != NULL)
        library_name = name;
}

bool bmm__unchecked_is_wanted(void)
{
    return *library_name != '\0';
}

static void append(const char *path, const char *reason)
{
    size_t reason_bytes = strlen(reason) + 1;
    size_t path_bytes = strlen(path) + 1;
    size_t bytes = (sizeof(struct bmm_snapshot_unchecked) + reason_bytes + path_bytes + 7) / 8 * 8;
    if (room == NULL || bytes > 4096 + 256)
        return;
    uint32_t at = bmm__add_relaxed(&taken, (uint32_t)bytes);
    if (at > ROOM_BYTES || at + bytes > ROOM_BYTES) {
        bmm__sub_relaxed(&taken, (uint32_t)bytes);
        return;
    }
    struct bmm_snapshot_unchecked *record = (struct bmm_snapshot_unchecked *)(void *)(room + at);
    record->pid = bmm__os_process_id();
    memcpy(record->text, reason, reason_bytes);
    memcpy(record->text + reason_bytes, path, path_bytes);
    bmm__store_release(&record->bytes, (uint32_t)bytes);
    bmm__add_acq_rel(&entry->used, bytes);
}

static bool is_preloaded_by(char *const environment[])
{
    for (; environment != NULL && *environment != NULL; environment++)
        if (is_preload_of(*environment))
            return true;
    return false;
}

void bmm__unchecked_look(const char *path, char *const environment[])
{
    if (!bmm__unchecked_is_wanted() || path == NULL)
        return;
    const char *obstacle = bmm__target_obstacle(path);
    if (obstacle == NULL && !is_preloaded_by(environment))
        obstacle = "LD_PRELOAD was taken out of its environment";
    bool is_barred = !bmm__recorder_may_place();
    if (is_barred && bmm__load_acquire(&bmm__recorder_process->state) == BMM__RECORDER_UNSETTLED)
        return; /* recorder_lost.h counts it */
    if (obstacle == NULL && is_barred && bmm__os_is_file(path))
        obstacle = "it may not write where brainmm records: another user, another root directory";
    /* A forked child that has recorded nothing yet opens a recorder for this. */
    if (obstacle != NULL && bmm__process_is_settled() && bmm__recorder_is_open())
        append(path, obstacle);
}
