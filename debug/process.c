/* See process.h. Knows which module must do what when a process begins; not what they keep. */
#include "process.h"

#include "alone.h"
#include "error.h"
#include "options.h"
#include "record.h"
#include "stack.h"
#include "thread.h"
#include "unchecked.h"

#include "core/os.h"

#include <errno.h>
#include <string.h>

#define COMMAND_BYTES 16384

static bool has_begun; /* private, copied by fork: true in a child whose page is wiped */
static uint32_t fork_count;

static void record_text(enum bmm_chunk_type type, const char *text, size_t bytes)
{
    struct bmm_snapshot_chunk *entry;
    char *chunk = bmm__recorder_chunk(type, bytes, 0, &entry);
    if (chunk == NULL)
        return;
    memcpy(chunk, text, bytes);
    bmm__store_release(&entry->used, bytes);
}

static void record_command(void)
{
    char command[COMMAND_BYTES];
    record_text(BMM_CHUNK_COMMAND, command, bmm__os_command_line(command, sizeof command));
    record_text(BMM_CHUNK_OPTIONS, bmm__options.text, strlen(bmm__options.text) + 1);
}

static uint32_t begin(void)
{
    bool has_file = bmm__recorder_create();
    record_command();
    bmm__error_open();
    bmm__unchecked_open();
    has_begun = true;
    return has_file ? BMM__RECORDER_FILE : BMM__RECORDER_PRIVATE;
}

/* A child without a manager has nobody to make a report of a file, and would leave one behind for each fork: it says
 * its errors on stderr at once. A directory that was asked for is asked for in children too. */
static uint32_t begin_child(void)
{
    bool wants_file = bmm__options.is_managed || bmm__options.directory != NULL;
    uint32_t state = bmm__recorder_inherit(wants_file, bmm__depot_count());
    if (state == BMM__RECORDER_UNSETTLED)
        return state;
    fork_count++;
    bmm__record_fork_child();
    bmm__error_fork_child();
    bmm__unchecked_fork_child();
    bmm__thread_fork_child();
    bmm__stack_fork_child();
    return state;
}

bool bmm__process_settle(void)
{
    int saved_errno = errno;
    struct bmm__recorder_process *process = bmm__recorder_process;
    uint32_t me = bmm__os_thread_id();
    uint32_t owner = 0;
    if (!bmm__cas_acq_rel(&process->owner, &owner, me)) {
        if (owner == me) { /* P2 */
            errno = saved_errno;
            return false;
        }
        while (bmm__load_acquire(&process->owner) == owner && bmm__load_acquire(&process->state) == 0)
            bmm__os_wait(&process->owner, owner);
        errno = saved_errno;
        return bmm__load_acquire(&process->state) != BMM__RECORDER_UNSETTLED;
    }
    uint32_t state = bmm__load_acquire(&process->state);
    if (state == BMM__RECORDER_UNSETTLED) {
        state = has_begun ? begin_child() : begin();
        bmm__store_release(&process->state, state);
    }
    bmm__store_release(&process->owner, 0);
    bmm__os_wake(&process->owner, INT32_MAX);
    errno = saved_errno;
    return state != BMM__RECORDER_UNSETTLED;
}

bool bmm__process_is_forked(void)
{
    return fork_count != 0;
}

void bmm__process_fork_child(void)
{
    bmm__record_orphan_all();
    bmm__thread_forget_others();
    bmm__alone_fork_child();
    bmm__store_relaxed(&bmm__recorder_process->state, BMM__RECORDER_UNSETTLED);
    bmm__store_relaxed(&bmm__recorder_process->owner, 0);
}
