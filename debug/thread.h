/* What the debug layer keeps for a thread: so that no counter, clock or list of the hot path is shared.
 *
 * Made at a thread's first call, taken back at its end and given to a later thread, but never freed.
 *
 * Invariants
 *  D1  The fields of the first group belong to the thread alone; others may read the counts (relaxed).
 *  D2  Every struct ever made is in one list, so that the counts of the process are a sum over it.
 *  D3  A thread's index is its own for ever; thread 65535 stands for all that came after 65534 others, and for calls
 *      from threads that cannot have a state.
 */
#ifndef BMM_THREAD_H
#define BMM_THREAD_H

#include "quarantine.h"

#include "core/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bmm__stack_memo;

#define BMM__THREAD_INDEX_SHARED 65535u

struct bmm__thread {
    struct bmm__stack_memo *memo;
    uint32_t alloc_count; /* of this thread; with index the number of an allocation */
    uint32_t free_count;
    uint16_t index;
    uint32_t is_at_work; /* alone.h; release, acquire by who waits for it */
    struct bmm__quarantine quarantine;
    uint32_t expect_depth, expect_from; /* scopes that are open, and alloc_count when the first was opened: expect.h */

    struct bmm__thread *next;      /* in the list of all */
    struct bmm__thread *next_idle; /* in the list of those without a thread */
    uint64_t past_alloc_count;     /* of the threads that had this struct before */
    uint64_t past_free_count;
};

/* The calling thread's as long as it has one: what its state in the core says, without asking there. */
extern __thread struct bmm__thread *bmm__thread_own BMM__HIDDEN;
struct bmm__thread *bmm__thread_find(void); /* asks, and makes one */

/* The calling thread's. NULL: it has none and cannot have one. Keeps errno. */
static inline struct bmm__thread *bmm__thread_current(void)
{
    return BMM__LIKELY(bmm__thread_own != NULL) ? bmm__thread_own : bmm__thread_find();
}

void bmm__thread_end(struct bmm__thread *thread);
void bmm__thread_forget_others(void); /* at once, in a forked child: the others are not among the living */
void bmm__thread_fork_child(void);    /* when the child settles */

/* Every struct ever made (D2). */
void bmm__thread_each(void (*visit)(struct bmm__thread *thread));

/* Sums over all threads, approximate while they run. */
void bmm__thread_counts(uint64_t *alloc_count, uint64_t *free_count);
uint32_t bmm__thread_live_count(void);

#endif
