/* See alone.h. */
#include "alone.h"

#include "sandbox.h"

#include "core/os.h"

#define PAUSES 1000u
#define NAPS 200u /* of a millisecond: whoever is at work may have to wait for a processor */

struct bmm__thread *bmm__alone;
uint32_t bmm__alone_is_over = 1;

static struct bmm__thread *first; /* who was the one, or is */

void bmm__alone_begin(struct bmm__thread *thread)
{
    if (!BMM__HAS_UNLOCKED_CAS || first != NULL)
        return;
    first = thread;
    if (!bmm__sandbox_is_closed())
        bmm__os_barrier_prepare();
    bmm__store_relaxed(&bmm__alone_is_over, 0u);
    bmm__store_release(&bmm__alone, thread);
}

/* Gives up on one that does not come back, as from a signal handler that waits for us: that matters only if it does so after all,
 * within the same nanoseconds as somebody who frees the same block. */
static void wait_for(const struct bmm__thread *thread)
{
    if (bmm__sandbox_is_closed() || !bmm__os_barrier_others()) /* which the sandbox may not know */
        bmm__os_nap();                                         /* by then what it stored before has long arrived */
    for (unsigned i = 0; bmm__load_acquire(&thread->is_at_work) != 0 && i < PAUSES + NAPS; i++) {
        if (i < PAUSES)
            bmm__pause();
        else
            bmm__os_nap();
    }
}

/* Several may do this at once: each waits for itself. */
void bmm__alone_end_now(void)
{
    if (first == NULL)
        return;
    bmm__store_release(&bmm__alone, NULL);
    if (first != bmm__thread_own)
        wait_for(first);
    else if (first->is_at_work != 0) /* a signal handler of its own, and so before what it interrupted */
        return;
    bmm__store_release(&bmm__alone_is_over, 1u);
}

void bmm__alone_fork_child(void)
{
    if (bmm__thread_own != NULL && bmm__load_relaxed(&bmm__alone) == bmm__thread_own)
        return;
    bmm__store_relaxed(&bmm__alone, NULL);
    bmm__store_relaxed(&bmm__alone_is_over, 1u);
}
