/* A lock for what is not on a fast path. Registered, so that fork can hold every lock while it copies the process,
 * and ranked, so that debug builds see a wrong order at once.
 *
 * state: 0 free · 1 held · 2 held, and someone sleeps. Three states after Drepper, "Futexes are tricky".
 * Invariants
 *  L1  A thread takes locks in ascending rank.
 *  L2  A lock that was ever taken is in the registry before it is taken (bmm__lock_take sees to it).
 *  L3  owner is the holder's thread key; a thread that forks while it holds a lock (from a signal handler, or from
 *      inside an allocation hook) does not wait for itself, and keeps what it had before.
 */
#ifndef BMM_LOCK_H
#define BMM_LOCK_H

#include <stdbool.h>
#include <stdint.h>

enum bmm__lock_rank {
    BMM__RANK_OBJECT_POOL =
        2, /* which heaps of the program's there are; under it locks are made, which a fork is to take after it */
    BMM__RANK_JIT_HEAPS = 3, /* which JIT heaps there are; the same */
    BMM__RANK_OBJECT = 4,  /* a heap that the program made: allocations under it purge, and tell the client of spans */
    BMM__RANK_JIT = 5,     /* a JIT heap: what is purged under it tells the client of its spans */
    BMM__RANK_CLIENT = 10, /* debug: above everything of core */
    BMM__RANK_EXPECT = 15,
    BMM__RANK_MODULES = 19, /* debug: modules and the stack depot, which call the recorder */
    BMM__RANK_RECORDER = 20,
    BMM__RANK_LATE_HEAP = 30, /* the shared heap of threads that have none */
    BMM__RANK_PURGE = 40,
    BMM__RANK_HEAP_POOL = 50,
    BMM__RANK_ARENA = 60,
    BMM__RANK_JIT_POOL = 65, /* which regions there are */
    BMM__RANK_META = 70
};

struct bmm__lock {
    uint32_t state;
    uint32_t rank;
    uintptr_t owner; /* bmm__os_thread_key() of the holder, 0: none or unknown yet */
    struct bmm__lock *next;
    uint32_t is_registered;
    uint32_t is_kept; /* between take_all and release_all: the forking thread had it before */
};
#define BMM__LOCK_INIT(lock_rank) \
    { \
        0, (lock_rank), 0, 0, 0, 0 \
    }

void bmm__lock_register(struct bmm__lock *lock); /* so that a fork from now on knows of it (L2) */
void bmm__lock_take(struct bmm__lock *lock);
bool bmm__lock_try(struct bmm__lock *lock); /* false: someone holds it */
void bmm__lock_release(struct bmm__lock *lock);
bool bmm__lock_is_mine(const struct bmm__lock *lock); /* the calling thread holds it */
void bmm__lock_reset(struct bmm__lock *lock);         /* free again, whoever held it: he is not in this process */

/* For core/thread.c: all locks in rank order; release in the parent; make new in the child. */
void bmm__lock_take_all(void);
void bmm__lock_release_all(void);
void bmm__lock_reset_all(void);

#endif
