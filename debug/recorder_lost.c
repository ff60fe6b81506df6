/* See recorder_lost.h. */
#include "recorder_lost.h"

#include "recorder_state.h"
#include "sandbox.h"

#include "core/atomic.h"

/* Private, copied by fork. */
static struct bmm_snapshot_header
    *witness;                /* mapped once more, for a process whose recorder is private memory; NULL: it is not */
static uint32_t counted_pid; /* the process that has counted itself, this one or one it came from */
static uint32_t *counted_in; /* the word in the witness that does, if it can be reached still; NULL: none */

static bool is_counted(void)
{
    return counted_pid == bmm__os_process_id();
}

/* NULL: no process before this one has a record, or none that can be reached. */
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
    if (!is_sandboxed && witness == NULL)
        witness = bmm__os_map_again(bmm__recorder.base, bmm__os_page_bytes());
    if (witness != NULL)
        header = witness;
    counted_pid = bmm__os_process_id();
    bmm__store_relaxed(&header->lost_pid, counted_pid);
    bmm__add_acq_rel(is_sandboxed ? &header->lost_sandboxed : &header->lost_children, 1u);
    counted_in = !is_sandboxed && witness != NULL ? &header->lost_children : NULL;
}

void bmm__lost_is_found(void)
{
    if (is_counted() && counted_in != NULL) {
        bmm__sub_acq_rel(counted_in, 1u);
        bmm__store_relaxed(&witness->lost_pid, 0u);
    }
    if (witness != NULL)
        bmm__os_release(witness, bmm__os_page_bytes());
    witness = NULL;
    counted_in = NULL;
    counted_pid = 0;
}

/* Whether what this process becomes or starts is for the witness to tell: it has recorded nothing yet, or cannot; not where its own
 * record does, nor what a child of vfork becomes, who has the memory of one that has a record. */
static bool is_witnessed(void)
{
    uint32_t state = bmm__load_acquire(&bmm__recorder_process->state);
    return state == BMM__RECORDER_UNSETTLED || (state == BMM__RECORDER_PRIVATE && witness != NULL);
}

struct bmm__lost_change bmm__lost_leave(bool is_replaced)
{
    struct bmm__lost_change change = { NULL, NULL };
    struct bmm_snapshot_header *header = find_witness();
    if (header == NULL || !is_witnessed() || bmm__recorder_may_place())
        return change;
    change.more = &header->lost_programs;
    if (is_replaced && is_counted())
        change.less = bmm__exchange_acq_rel(&counted_in, NULL); /* of several threads, one */
    bmm__store_relaxed(&header->lost_pid, bmm__os_process_id());
    bmm__add_acq_rel(change.more, 1u);
    if (change.less != NULL)
        bmm__sub_acq_rel(change.less, 1u);
    return change;
}

void bmm__lost_stay(const struct bmm__lost_change *change)
{
    if (change->more == NULL)
        return;
    bmm__sub_acq_rel(change->more, 1u);
    if (change->less != NULL) {
        bmm__add_acq_rel(change->less, 1u);
        bmm__store_release(&counted_in, change->less);
    }
    struct bmm_snapshot_header *header = find_witness();
    if (header != NULL)
        bmm__store_relaxed(&header->lost_pid, 0u); /* who was the last before, nobody knows */
}
