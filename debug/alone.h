/* The thread that claims blocks without a locked instruction, as long as no other thread has claimed any: most programs free in
 * one thread only, and a locked instruction waits until all that was stored before is in the cache (7 % of a loop over small
 * blocks, 2 % of a Redis).
 *
 *   it:      at_work ─► is it still the one? ─► compare and exchange, not locked ─► no longer at_work
 *   another: nobody is the one ─► barrier of all threads that run ─► waits until at_work is over ─► claims, locked
 *
 * Source: the asymmetric form of Dekker's algorithm, Dice, Huang and Yang, "Asymmetric Dekker Synchronization" (2001), as for
 * biased locks; the barrier is membarrier(2).
 *
 * Invariants
 *  L1  bmm__alone is set once, to the first thread that has a state, and becomes NULL for good before another thread claims.
 *  L2  Another thread claims only when bmm__alone_is_over, or when it has itself found at_work to be over after L1.
 *  L3  A signal handler that interrupts the one at work leaves at_work as it was.
 */
#ifndef BMM_ALONE_H
#define BMM_ALONE_H

#include "thread.h"

#include "core/assert.h"
#include "core/atomic.h"

#include <stdbool.h>
#include <stdint.h>

extern struct bmm__thread *bmm__alone BMM__HIDDEN; /* NULL: nobody, any more */
extern uint32_t bmm__alone_is_over BMM__HIDDEN;    /* others may claim; release */

/* The first thread that has a state is the one. Under the lock of all threads. */
void bmm__alone_begin(struct bmm__thread *thread);

/* Nobody is the one from now on, and nobody is at work as such; whoever calls. */
void bmm__alone_end_now(void);

/* In a forked child: the one, if it is not the calling thread, is gone. */
void bmm__alone_fork_child(void);

/* Before a locked claim. */
static inline void bmm__alone_end(void)
{
    if (BMM__UNLIKELY(bmm__load_acquire(&bmm__alone_is_over) == 0) &&
        (bmm__thread_own == NULL || bmm__load_relaxed(&bmm__alone) != bmm__thread_own))
        bmm__alone_end_now();
}

/* *word from expected to desired, by the calling thread. False: it was something else, or another thread is the one; whoever
 * claims then as all do ends that. No call: so the way of most frees saves no register. */
static inline bool bmm__alone_try(struct bmm__thread *thread, uint64_t *word, uint64_t expected, uint64_t desired)
{
    (void)thread;
#if BMM__HAS_UNLOCKED_CAS
    if (BMM__LIKELY(bmm__load_relaxed(&bmm__alone) == thread)) {
        uint32_t before = thread->is_at_work; /* L3 */
        bmm__store_relaxed(&thread->is_at_work, 1u);
        bmm__signal_fence();
        bool is_done = bmm__load_relaxed(&bmm__alone) == thread && bmm__cas_unlocked(word, expected, desired);
        bmm__store_release(&thread->is_at_work, before);
        return is_done;
    }
#endif
    return bmm__load_acquire(&bmm__alone_is_over) != 0 && bmm__cas_acq_rel(word, &expected, desired);
}

#endif
