#include "core/purge.h"

#include "core/arena.h"
#include "core/atomic.h"
#include "core/heap_pool.h"
#include "core/lock.h"
#include "core/os.h"
#include "core/page_run.h"
#include "core/remote.h"
#include "core/run_map.h"

#define PASS_MS 250u
#define SLICE_MS 10u    /* between two slices at most: sooner if the last one was short */
#define SLICE_SHARE 12u /* slices take one part in so many of the time that passes, about */
#define SLICE_NS 700000u
#define SLICE_BYTES ((size_t)16 << 20)
#define STEP_BYTES ((size_t)2 << 20) /* between two looks at what is kept; a huge page, which is not to be torn */
#define SWEEP_SPANS 16u              /* between two looks at the clock, if none has to be given back */

BMM__LOCK(lock, BMM__RANK_PURGE);
static uint64_t next_ms; /* relaxed: only when to look */

/* A slice and what is in excess are not for one call (U2): the slice gives way, and the next time it is due, the excess. */
static uint64_t excess_ms;                      /* relaxed: when something in excess was last purged */
static enum { NOBODY, SLICE, EXCESS } gave_way; /* relaxed: the last one */

/* The rest is under lock. */
static enum { HEAPS, SWEEP, PAGE_RUNS, ARENAS } phase; /* in the order in which memory goes down */
static uint64_t pass_ms;                               /* when the running pass began */

/* One step; true if the pass is complete. */
static bool step(bool is_all, struct bmm__purge_work *work)
{
    if (phase == HEAPS) {
        if (bmm__heap_pool_cool(is_all))
            phase = SWEEP;
    } else if (phase == SWEEP) {
        if (bmm__remote_sweep(SWEEP_SPANS, is_all))
            phase = PAGE_RUNS;
    } else if (phase == PAGE_RUNS) {
        if (bmm__page_run_age(is_all, work))
            phase = ARENAS;
    } else if (bmm__arena_age(is_all, work)) {
        bmm__arena_unmap_empty(is_all);
        phase = HEAPS;
        return true;
    }
    return false;
}

void bmm__purge_tick(void)
{
    if (bmm__purge_is_pending())
        bmm__purge_tick_at(bmm__os_clock_coarse_ms());
}

void bmm__purge_tick_at(uint64_t now)
{
    if (now < bmm__load_relaxed(&next_ms) || !bmm__lock_try(&lock))
        return;
    if (now < bmm__load_relaxed(&next_ms)) { /* another thread was faster */
        bmm__lock_release(&lock);
        return;
    }
    if (bmm__load_relaxed(&excess_ms) == now && bmm__load_relaxed(&gave_way) == NOBODY) {
        bmm__store_relaxed(&gave_way, SLICE);
        bmm__store_relaxed(&next_ms, now + 1);
        bmm__lock_release(&lock);
        return;
    }
    bmm__store_relaxed(&gave_way, NOBODY);
    if (phase == HEAPS && pass_ms + PASS_MS <= now)
        pass_ms = now;
    struct bmm__purge_work work = bmm__purge_work_begin(SLICE_BYTES, SLICE_NS);
    uint64_t start_ns = work.last_ns;
    bool is_complete;
    do
        is_complete = step(false, &work);
    while (!is_complete && !bmm__purge_work_is_over(&work));
    uint64_t spent_ns = bmm__os_clock_mono_ns() - start_ns, next = now + 1 + spent_ns * SLICE_SHARE / 1000000;
    next = next < now + SLICE_MS ? next : now + SLICE_MS;
    if (is_complete && next < pass_ms + PASS_MS)
        next = pass_ms + PASS_MS;
    bmm__store_relaxed(&next_ms, next);
    bmm__lock_release(&lock);
}

/* From start on, as far as that goes. Returns how many bytes the system took. */
static size_t purge_some(void *start, size_t bytes, struct bmm__purge_work *work)
{
    size_t done = 0;
    do {
        size_t step_bytes = STEP_BYTES - ((uintptr_t)start + done) % STEP_BYTES;
        step_bytes = bytes - done < step_bytes ? bytes - done : step_bytes;
        work->asked_bytes += step_bytes;
        if (!bmm__os_purge((char *)start + done, step_bytes))
            break;
        done += step_bytes;
        work->given_bytes += step_bytes;
    } while (done < bytes && !bmm__purge_work_is_over(work));
    return done;
}

/* What is handed out last first: the caller's memory will be wanted sooner. Then all page runs. */
static void purge_others(size_t too_much, struct bmm__purge_work *work)
{
    struct bmm__purge_place arenas = { 0, 0, false }, page_runs = { 0, 0, false };
    do { /* once at least, however slow the machine is: else what is kept would grow */
        work->most_bytes = work->asked_bytes + STEP_BYTES;
        if (bmm__arena_purge_last(&arenas, work) && bmm__page_run_purge_last(&page_runs, work))
            break;
    } while (!bmm__arena_may_keep(too_much) && bmm__os_clock_mono_ns() < work->end_ns);
}

size_t bmm__purge_excess(void *start, size_t bytes)
{
    static uint64_t refused_ms; /* relaxed: when the system last took nothing at all */
    uint64_t now = bmm__os_clock_coarse_ms();
    if (now - bmm__load_relaxed(&refused_ms) < PASS_MS || bmm__lock_is_mine(&lock)) /* mine: a slice comes by there */
        return 0;
    if (bmm__load_relaxed(&gave_way) == SLICE && bmm__load_relaxed(&next_ms) <= now) {
        bmm__store_relaxed(&gave_way, EXCESS);
        return 0;
    }
    struct bmm__purge_work others = bmm__purge_work_begin(0, SLICE_NS / 2);
    if (bmm__lock_try(&lock)) {           /* else someone is at the rest */
        purge_others(2 * bytes, &others); /* if they are kept, and in use no more */
        bmm__lock_release(&lock);
    }
    struct bmm__purge_work mine = bmm__purge_work_begin(SIZE_MAX, SLICE_NS / 2);
    size_t done = bmm__arena_may_keep(bytes) ? 0 : purge_some(start, bytes, &mine);
    if (others.asked_bytes + mine.asked_bytes != 0) {
        bmm__store_relaxed(&excess_ms, bmm__os_clock_coarse_ms());
        if (others.given_bytes + mine.given_bytes == 0)
            bmm__store_relaxed(&refused_ms, now);
    }
    return done;
}

static bool purge_all(bool is_locked_too)
{
    struct bmm__purge_work work = bmm__purge_work_begin(SIZE_MAX, BMM__PURGE_NO_END);
    if (bmm__lock_is_mine(&lock))
        return false;
    bmm__lock_take(&lock);
    bmm__os_purge_locked(is_locked_too);
    for (unsigned complete = 0; complete < 2;) /* the running pass, and a whole one: areas that end leave granules */
        if (step(true, &work))
            complete++;
    bmm__os_purge_locked(false);
    bmm__lock_release(&lock);
    return work.given_bytes != 0;
}

bool bmm__purge_all(void)
{
    return purge_all(true);
}

void bmm__purge_for_room(void)
{
    purge_all(false);
}
