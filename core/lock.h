/* A lock for what is not on a fast path. Registered, so that fork can hold every lock while it copies the process,
 * and ranked, so that debug builds see a wrong order at once.
 *
 * state: 0 free · 1 held · 2 held, and someone sleeps. Three states after Drepper, "Futexes are tricky".
 * Invariants
 *  L1  A thread takes locks in ascending rank.
 *  L2  A lock that was ever taken is in the registry before it is taken (bmm__lock_take sees to it).
 *  L3  owner is the OS thread id while held; a thread that already owns every lock (fork from inside an allocation
 *      hook or a signal handler) does not take them a second time.
 */
#ifndef BMM_LOCK_H
#define BMM_LOCK_H

#include <stdbool.h>
#include <stdint.h>

enum bmm__lock_rank {
    BMM__RANK_CLIENT = 10, /* debug: above everything of core */
    BMM__RANK_RECORDER = 20,
    BMM__RANK_LATE_HEAP = 30, /* the shared heap of threads that have none */
    BMM__RANK_RUNS = 40,
    BMM__RANK_LARGE = 50,
    BMM__RANK_ARENA = 60,
    BMM__RANK_META = 70
};

struct bmm__lock {
    uint32_t state;
    uint32_t owner;
    uint32_t rank;
    uint32_t is_registered;
    struct bmm__lock *next;
};
#define BMM__LOCK_INIT(lock_rank) \
    { \
        0, 0, (lock_rank), 0, 0 \
    }

void bmm__lock_take(struct bmm__lock *lock);
void bmm__lock_release(struct bmm__lock *lock);

/* For core/fork.c: all locks in rank order; release in the parent; make new in the child. */
void bmm__lock_take_all(void);
void bmm__lock_release_all(void);
void bmm__lock_reset_all(void);

#endif
