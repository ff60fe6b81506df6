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
#define SLICE_MS 10u
#define SLICE_NS 700000u
#define SLICE_BYTES ((size_t)16 << 20)
#define STEP_BYTES ((size_t)2 << 20) /* between two looks at the clock: a huge page, which is not to be torn */
#define EXCESS_BYTES ((size_t)4 << 20)
#define SWEEP_SPANS 4096u

static struct bmm__lock lock = BMM__LOCK_INIT(BMM__RANK_PURGE);
static uint64_t next_ms; /* relaxed: only when to look */

/* The rest is under lock. */
static enum { HEAPS, SWEEP, PAGE_RUNS, ARENAS } phase; /* in the order in which memory goes down */
static uint64_t pass_ms;                               /* when the running pass began */

/* One step; true if the pass is complete. */
static bool step(bool is_all, size_t *purged_bytes)
{
    if (phase == HEAPS) {
        bmm__heap_pool_cool(is_all);
        phase = SWEEP;
    } else if (phase == SWEEP) {
        if (bmm__remote_sweep(SWEEP_SPANS))
            phase = PAGE_RUNS;
    } else if (phase == PAGE_RUNS) {
        if (bmm__page_run_age(is_all, STEP_BYTES, purged_bytes))
            phase = ARENAS;
    } else if (bmm__arena_age(is_all, STEP_BYTES, purged_bytes)) {
        phase = HEAPS;
        return true;
    }
    return false;
}

void bmm__purge_tick(void)
{
    if (!bmm__purge_is_pending())
        return;
    uint64_t now = bmm__os_clock_coarse_ms();
    if (now < bmm__load_relaxed(&next_ms) || !bmm__lock_try(&lock))
        return;
    if (phase == HEAPS && pass_ms + PASS_MS <= now)
        pass_ms = now;
    size_t purged = 0;
    bool is_complete;
    uint64_t start_ns = bmm__os_clock_mono_ns();
    do
        is_complete = step(false, &purged);
    while (!is_complete && purged < SLICE_BYTES && bmm__os_clock_mono_ns() - start_ns < SLICE_NS);
    uint64_t next = now + SLICE_MS;
    if (is_complete && next < pass_ms + PASS_MS)
        next = pass_ms + PASS_MS;
    bmm__store_relaxed(&next_ms, next);
    bmm__lock_release(&lock);
}

size_t bmm__purge_excess(void *start, size_t bytes)
{
    uint64_t start_ns = bmm__os_clock_mono_ns();
    size_t done = 0, purged = 0;
    while (done < bytes && bmm__os_clock_mono_ns() - start_ns < SLICE_NS) {
        size_t step_bytes = STEP_BYTES - ((uintptr_t)start + done) % STEP_BYTES;
        step_bytes = bytes - done < step_bytes ? bytes - done : step_bytes;
        if (!bmm__os_purge((char *)start + done, step_bytes))
            break;
        done += step_bytes;
    }
    if (!bmm__lock_try(&lock)) /* someone is at the rest */
        return done;
    size_t wanted = bytes < EXCESS_BYTES ? EXCESS_BYTES : bytes;
    while (purged < wanted && bmm__os_clock_mono_ns() - start_ns < SLICE_NS)
        if (bmm__page_run_age(true, STEP_BYTES, &purged) && bmm__arena_age(true, STEP_BYTES, &purged))
            break;
    bmm__lock_release(&lock);
    return done;
}

bool bmm__purge_all(void)
{
    size_t purged = 0;
    if (bmm__lock_is_mine(&lock))
        return false;
    bmm__lock_take(&lock);
    for (unsigned complete = 0; complete < 2;) /* the running pass, and a whole one: areas that end leave granules */
        if (step(true, &purged))
            complete++;
    bmm__lock_release(&lock);
    return purged != 0;
}
