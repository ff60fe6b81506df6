/* A lock for what is not on a fast path. Registered, so that fork can hold every lock while it copies the process, and
 * ranked, so that it takes them in the order in which others do.
 *
 * state: 0 free · 1 held · 2 held, and someone sleeps. Three states after Drepper, "Futexes are tricky".
 * Invariants
 *  L1  A thread takes locks in ascending rank.
 *  L2  A fork knows every lock that can be taken: those that are defined from the start, as their addresses are in a section of their
 *      own, which the linker makes a table of; others from when they were registered, before anyone else saw them.
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
    BMM__RANK_ARENA_OUTSIDE = 61, /* of the window */
    BMM__RANK_JIT_POOL = 65,      /* which regions there are */
    BMM__RANK_META = 70
};

struct bmm__lock {
    uint32_t state;
    uint32_t rank;
    uintptr_t owner; /* bmm__os_thread_key() of the holder, 0: none or unknown yet */
    struct bmm__lock *next;
    uint32_t is_kept; /* between take_all and release_all: the forking thread had it before */
};
#define BMM__LOCK_INIT(lock_rank) \
    { \
        0, (lock_rank), 0, 0, 0 \
    }

/* Defines a lock of a file's own. */
#define BMM__LOCK(name, lock_rank) \
    static struct bmm__lock name = BMM__LOCK_INIT(lock_rank); \
    BMM__LOCK_ENTRY(name, name)
/* For one that is part of something else. */
#define BMM__LOCK_ENTRY(name, lock) \
    static struct bmm__lock *const name##_entry __attribute__((used, retain, section("bmm_locks"))) = &(lock)

void bmm__lock_register(struct bmm__lock *lock); /* one that is made while the process runs, once (L2) */
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
