#include "core/lock.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/os.h"

#include <stddef.h>

static struct bmm__lock *registry[BMM__RANK_META + 1]; /* by rank; pushed to with acq_rel, never popped */
static uintptr_t all_owner; /* the thread that holds every lock because it forks; 0: nobody */

void bmm__lock_register(struct bmm__lock *lock)
{
    uint32_t no = 0;
    if (!bmm__cas_acq_rel(&lock->is_registered, &no, 1))
        return;
    struct bmm__lock **of_rank = &registry[lock->rank], *first = bmm__load_acquire(of_rank);
    do
        lock->next = first;
    while (!bmm__cas_weak_acq_rel(of_rank, &first, lock));
}

static void take(struct bmm__lock *lock)
{
    uint32_t found = 0;
    if (bmm__cas_acq_rel(&lock->state, &found, 1))
        return;
    for (int i = 0; i < 100; i++) {
        found = 0;
        if (bmm__load_relaxed(&lock->state) == 0 && bmm__cas_acq_rel(&lock->state, &found, 1))
            return;
        bmm__pause();
    }
    while (bmm__exchange_acq_rel(&lock->state, 2) != 0)
        bmm__os_wait(&lock->state, 2);
}

/* Everything is this thread's already: it forks. */
static bool has_all(void)
{
    uintptr_t owner = bmm__load_relaxed(&all_owner);
    return BMM__UNLIKELY(owner != 0) && owner == bmm__os_thread_key();
}

void bmm__lock_take(struct bmm__lock *lock)
{
    if (BMM__UNLIKELY(bmm__load_acquire(&lock->is_registered) == 0))
        bmm__lock_register(lock);
    if (has_all())
        return;
    take(lock);
    bmm__store_relaxed(&lock->owner, bmm__os_thread_key());
}

bool bmm__lock_try(struct bmm__lock *lock)
{
    if (BMM__UNLIKELY(bmm__load_acquire(&lock->is_registered) == 0))
        bmm__lock_register(lock);
    uint32_t found = 0;
    if (has_all() || !bmm__cas_acq_rel(&lock->state, &found, 1))
        return false;
    bmm__store_relaxed(&lock->owner, bmm__os_thread_key());
    return true;
}

static void release(struct bmm__lock *lock)
{
    bmm__store_relaxed(&lock->owner, (uintptr_t)0);
    if (bmm__exchange_acq_rel(&lock->state, 0) == 2)
        bmm__os_wake(&lock->state, 1);
}

void bmm__lock_release(struct bmm__lock *lock)
{
    if (!has_all())
        release(lock);
}

bool bmm__lock_is_mine(const struct bmm__lock *lock)
{
    return bmm__load_relaxed(&lock->owner) == bmm__os_thread_key();
}

void bmm__lock_reset(struct bmm__lock *lock)
{
    bmm__store_relaxed(&lock->owner, (uintptr_t)0);
    bmm__store_relaxed(&lock->state, 0);
}

static struct bmm__lock *first_of(uint32_t rank)
{
    return bmm__load_acquire(&registry[rank]);
}

void bmm__lock_take_all(void)
{
    uintptr_t me = bmm__os_thread_key();
    for (uint32_t rank = 0; rank <= BMM__RANK_META; rank++)
        for (struct bmm__lock *lock = first_of(rank); lock != NULL; lock = lock->next) {
            lock->is_kept = bmm__load_relaxed(&lock->owner) == me;
            if (!lock->is_kept) {
                take(lock);
                bmm__store_relaxed(&lock->owner, me);
            }
        }
    bmm__store_relaxed(&all_owner, me);
}

void bmm__lock_release_all(void)
{
    uintptr_t me = bmm__os_thread_key();
    bmm__store_relaxed(&all_owner, (uintptr_t)0);
    for (uint32_t rank = 0; rank <= BMM__RANK_META; rank++)
        for (struct bmm__lock *lock = first_of(rank); lock != NULL; lock = lock->next)
            if (!lock->is_kept && bmm__load_relaxed(&lock->owner) == me) /* else it came into the registry since */
                release(lock);
}

void bmm__lock_reset_all(void)
{
    bmm__store_relaxed(&all_owner, (uintptr_t)0);
    for (uint32_t rank = 0; rank <= BMM__RANK_META; rank++)
        for (struct bmm__lock *lock = first_of(rank); lock != NULL; lock = lock->next)
            bmm__lock_reset(lock);
}
