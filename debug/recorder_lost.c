/* See recorder_lost.h. */
#include "recorder_lost.h"

#include "options.h"
#include "recorder_state.h"
#include "sandbox.h"

#include "core/atomic.h"

/* Private, copied by fork. */
static struct bmm_snapshot_header
    *witness;                /* mapped once more, for a process whose recorder is private memory; NULL: it is not */
static uint32_t *counted_in; /* a word of the witness's header that counts this process, or one it came from */
static uint32_t counted_pid; /* which of them */
static uint32_t *left_in, *left_out; /* of bmm__lost_leave: where it was counted in and out; NULL: nowhere */

static bool is_counted(void)
{
    return counted_in != NULL && counted_pid == bmm__os_process_id();
}

static void add(uint32_t *word)
{
    if (word != NULL)
        bmm__add_acq_rel(word, 1u);
}

static void subtract(uint32_t *word)
{
    if (word != NULL)
        bmm__sub_acq_rel(word, 1u);
}

/* NULL: no process before this one has a record. */
static struct bmm_snapshot_header *find_witness(void)
{
    if (witness != NULL)
        return witness;
    return bmm__recorder.has_file && bmm__recorder.base != NULL ? bmm__recorder_header() : NULL;
}

void bmm__lost_child(void)
{
    struct bmm_snapshot_header *header = find_witness();
    if (header == NULL || is_counted())
        return;
    bool is_sandboxed = bmm__sandbox_is_closed();
    if (!is_sandboxed && witness == NULL) {
        struct bmm_snapshot_header *again = bmm__os_map_again(bmm__recorder.base, bmm__os_page_bytes());
        header = witness = again != NULL ? again : header;
    }
    counted_in = is_sandboxed ? &header->lost_sandboxed : &header->lost_children;
    counted_pid = bmm__os_process_id();
    bmm__store_relaxed(&header->lost_pid, counted_pid);
    add(counted_in);
}

void bmm__lost_is_found(void)
{
    if (is_counted())
        subtract(counted_in);
    if (witness != NULL)
        bmm__os_release(witness, bmm__os_page_bytes());
    counted_in = NULL;
    witness = NULL;
}

void bmm__lost_leave(void)
{
    struct bmm_snapshot_header *header = find_witness();
    uint32_t state = bmm__load_acquire(&bmm__recorder_process->state);
    bool is_unsettled = state == BMM__RECORDER_UNSETTLED,
         is_lost = is_counted() && counted_in != &header->lost_sandboxed;
    left_in = left_out = NULL;
    if (header == NULL || (!is_unsettled && !is_lost))
        return;
    left_out = is_lost ? counted_in : NULL;
    left_in = bmm__recorder_may_place() ? NULL : &header->lost_programs;
    if (left_in != NULL)
        bmm__store_relaxed(&header->lost_pid, bmm__os_process_id());
    add(left_in);
    subtract(left_out);
}

void bmm__lost_stay(void)
{
    subtract(left_in);
    add(left_out);
    left_in = left_out = NULL;
}
