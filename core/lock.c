#include "core/lock.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/os.h"

#include <stddef.h>

/* By the linker, of section bmm_locks. */
extern struct bmm__lock *const __start_bmm_locks[] BMM__HIDDEN; /* NOLINT */
extern struct bmm__lock *const __stop_bmm_locks[] BMM__HIDDEN;  /* NOLINT */

static struct bmm__lock *registry[BMM__RANK_META + 1]; /* by rank; pushed to with acq_rel, never popped */
static uintptr_t all_owner; /* the thread that holds every lock because it forks; 0: nobody */

void bmm__lock_register(struct bmm__lock *lock)
{
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
    if (has_all())
        return;
    take(lock);
    bmm__store_relaxed(&lock->owner, bmm__os_thread_key());
}

bool bmm__lock_try(struct bmm__lock *lock)
{
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

/* ---- fork ---- */

static void visit_all(void (*visit)(struct bmm__lock *lock, uintptr_t me))
{
    uintptr_t me = bmm__os_thread_key();
    for (uint32_t rank = 0; rank <= BMM__RANK_META; rank++) {
        for (struct bmm__lock *const *entry = __start_bmm_locks; entry < __stop_bmm_locks; entry++)
            if ((*entry)->rank == rank)
                visit(*entry, me);
        for (struct bmm__lock *lock = bmm__load_acquire(&registry[rank]); lock != NULL; lock = lock->next)
            visit(lock, me);
    }
}

static void take_for_fork(struct bmm__lock *lock, uintptr_t me)
{
    lock->is_kept = bmm__load_relaxed(&lock->owner) == me;
    if (!lock->is_kept) {
        take(lock);
        bmm__store_relaxed(&lock->owner, me);
    }
}

static void release_after_fork(struct bmm__lock *lock, uintptr_t me)
{
    if (!lock->is_kept && bmm__load_relaxed(&lock->owner) == me) /* else it came into the registry since */
        release(lock);
}

static void reset(struct bmm__lock *lock, uintptr_t me)
{
    (void)me;
    bmm__lock_reset(lock);
}

void bmm__lock_take_all(void)
{
    visit_all(take_for_fork);
    bmm__store_relaxed(&all_owner, bmm__os_thread_key());
}

void bmm__lock_release_all(void)
{
    bmm__store_relaxed(&all_owner, (uintptr_t)0);
    visit_all(release_after_fork);
}

void bmm__lock_reset_all(void)
{
    bmm__store_relaxed(&all_owner, (uintptr_t)0);
    visit_all(reset);
}
