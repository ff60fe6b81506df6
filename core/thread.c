/* Threads: a heap on the first allocation, back to the pool at the thread's end, taken over whole by a later thread.
 * (Others' frees give back what a pooled heap holds, see span.h, so nothing is stranded in the pool but what a next thread
 * will use.)
 *
 * Known gap: of a thread that allocates or frees for the first time when its destructors run for the last time, the heap
 * is not pooled; nothing runs after them. */
#define _GNU_SOURCE
#include "core/assert.h"
#include "core/atomic.h"
#include "core/heap_pool.h"
#include "core/jit_region.h"
#include "core/lock.h"
#include "core/os.h"
#include "core/process.h"
#include "core/purge.h"
#include "core/secure_span.h"
#include "core/share.h"
#include "core/visit.h"

#include <errno.h>
#include <pthread.h>

/* All zero: see heap.h. */
static struct bmm__heap empty_heap BMM__TABLE;
struct bmm__heap bmm__dead_heap BMM__TABLE;
__thread struct bmm__heap *bmm__heap __attribute__((tls_model("initial-exec"))) = &empty_heap;

struct bmm__process bmm__process;
const int bmm__process_anchor = 1;

BMM__LOCK(late_lock, BMM__RANK_LATE_HEAP);
static struct bmm__heap late_heap BMM__TABLE;

static pthread_key_t key; /* both from bmm__process_start */
static bool has_key;
static void thread_end(void *round);

void bmm__process_start(void)
{
    uint32_t fresh = 0;
    if (bmm__load_acquire(&bmm__process.state) == 2)
        return;
    if (bmm__cas_acq_rel(&bmm__process.state, &fresh, 1)) {
        int saved_errno = errno;
        bmm__process.client = bmm__share_join();
        if (bmm__process.client == NULL) {
            has_key = pthread_key_create(&key, thread_end) == 0; /* now: constructors before ours may start threads */
            bmm__secure_start();
            bmm__process.client = bmm__client_open();
        }
        errno = saved_errno;
        bmm__store_release(&bmm__process.state, 2);
        return;
    }
    while (bmm__load_acquire(&bmm__process.state) != 2)
        bmm__pause();
}

struct bmm__heap *bmm__thread_heap_if_any(void)
{
    return bmm__heap == &empty_heap || bmm__heap == &bmm__dead_heap ? NULL : bmm__heap;
}

struct bmm__heap *bmm__thread_heap(void)
{
    if (bmm__heap != &empty_heap)
        return bmm__heap == &bmm__dead_heap ? NULL : bmm__heap;
    bmm__process_start();
    struct bmm__heap *heap = bmm__heap_pool_take(bmm__process.client != NULL);
    if (heap == NULL)
        return NULL;
    bmm__store_relaxed(&heap->thread_id, bmm__os_thread_id());
    bmm__heap = heap;
    if (has_key)
        pthread_setspecific(key, (void *)1); /* NOLINT: any value but NULL */
    return heap;
}

void bmm__thread_gave_back(void)
{
    struct bmm__heap *heap = bmm__thread_heap_if_any();
    if (heap == NULL) {
        bmm__purge_tick();
        return;
    }
    bmm__heap_begin(heap);
    bmm__heap_gave_back(heap);
    bmm__heap_end(heap);
}

/* The destructor of our key puts itself behind those of other keys, three times, of four that POSIX promises: they may still free. */
static void thread_end(void *round)
{
    struct bmm__heap *heap = bmm__thread_heap_if_any();
    if ((uintptr_t)round < 3 && pthread_setspecific(key, (void *)((uintptr_t)round + 1)) == 0) /* NOLINT */
        return;
    if (heap == NULL)
        return;
    if (bmm__process.client != NULL) {
        bmm__process.client->thread_end(heap->client_state);
        heap->client_state = NULL;
    }
    bmm__heap_pool_give(heap, bmm__process.client != NULL);
}

struct bmm__heap *bmm__late_begin(void)
{
    bmm__process_start();
    bmm__lock_take(&late_lock);
    if (late_heap.token == 0) /* not at the start: two pages that most processes never need */
        bmm__heap_init(&late_heap, bmm__process.client != NULL);
    return &late_heap;
}

void bmm__late_end(void)
{
    bmm__lock_release(&late_lock);
}

void **bmm__core_thread_state(void)
{
    struct bmm__heap *heap = bmm__thread_heap();
    return heap == NULL ? NULL : &heap->client_state;
}

/* ---- fork ---- */

static void fork_prepare(void)
{
    bmm__lock_take_all();
    bmm__jit_region_fork_prepare();
    if (bmm__process.client != NULL)
        bmm__process.client->fork_prepare();
}

static void fork_parent(void)
{
    if (bmm__process.client != NULL)
        bmm__process.client->fork_parent();
    bmm__jit_region_fork_parent();
    bmm__lock_release_all();
}

static void fork_child(void)
{
    bmm__lock_reset_all();
    bmm__secure_start(); /* else all children would draw the same numbers */
    bmm__look_fork_child();
    bmm__heap_pool_adopt(bmm__heap);
    if (bmm__thread_heap_if_any() != NULL)
        bmm__store_relaxed(&bmm__heap->thread_id, bmm__os_thread_id());
    bmm__jit_region_fork_child();
    if (bmm__process.client != NULL)
        bmm__process.client->fork_child();
}

__attribute__((constructor(101))) static void library_start(void)
{
    bmm__process_start();
    bool is_guest = bmm__share_owner() != NULL; /* then there is nothing here to be kept in order */
    if (!is_guest)
        pthread_atfork(fork_prepare, fork_parent, fork_child);
    bmm__share_start();
    bmm__client_start(is_guest);
}
