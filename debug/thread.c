/* See thread.h. */
#include "thread.h"

#include "alone.h"
#include "expect.h"
#include "options.h"
#include "process.h"
#include "stack.h"

#include "core/client.h"
#include "core/lock.h"
#include "core/os.h"

#include <errno.h>

#define THREADS_PER_CHUNK 256u

__thread struct bmm__thread *bmm__thread_own;

BMM__LOCK(lock, BMM__RANK_CLIENT);
static struct bmm__thread *all;           /* written under lock, read by anyone: release, acquire */
static struct bmm__thread *idle;          /* under lock */
static uint32_t index_next;               /* under lock */
static uint32_t live_count;               /* written under lock */
static struct bmm_snapshot_thread *table; /* of the chunk that index_next falls into; under lock */
static uint64_t alloc_count_inherited, free_count_inherited;

static void record_thread(uint32_t index)
{
    if (index % THREADS_PER_CHUNK == 0)
        table = bmm__recorder_chunk(BMM_CHUNK_THREADS, THREADS_PER_CHUNK * sizeof *table, index, NULL);
    if (table == NULL)
        return;
    struct bmm_snapshot_thread *entry = &table[index % THREADS_PER_CHUNK];
    entry->index = index;
    entry->start_ns = bmm__recorder_now_ns();
    bmm__os_thread_name(entry->name);
    bmm__store_release(&entry->tid, bmm__os_thread_id()); /* last: the entry counts from now on */
}

static struct bmm__thread *take_idle_or_make(void)
{
    struct bmm__thread *thread = idle;
    if (thread != NULL) {
        idle = thread->next_idle;
        return thread;
    }
    thread = bmm__core_meta_alloc(sizeof *thread);
    if (thread == NULL)
        return NULL;
    thread->next = all;
    bmm__store_release(&all, thread); /* release: whoever walks the list sees it whole */
    return thread;
}

static struct bmm__thread *thread_make(void **state)
{
    int saved_errno = errno;
    bool is_settled = bmm__process_is_settled();
    bmm__lock_take(&lock);
    struct bmm__thread *thread = take_idle_or_make();
    if (thread != NULL) {
        thread->past_alloc_count += thread->alloc_count;
        thread->past_free_count += thread->free_count;
        thread->alloc_count = thread->free_count = 0;
        thread->index = BMM__THREAD_INDEX_SHARED;
        if (index_next < BMM__THREAD_INDEX_SHARED && is_settled) {
            thread->index = (uint16_t)index_next;
            record_thread(index_next++);
        }
        bmm__store_relaxed(&live_count, live_count + 1);
        bmm__alone_begin(thread);
    }
    bmm__lock_release(&lock);
    if (thread != NULL) {
        thread->memo = bmm__stack_memo_make();
        *state = thread;
    }
    errno = saved_errno;
    return thread;
}

struct bmm__thread *bmm__thread_find(void)
{
    void **state = bmm__core_thread_state();
    if (state == NULL)
        return NULL;
    return bmm__thread_own = *state != NULL ? *state : thread_make(state);
}

void bmm__thread_end(struct bmm__thread *thread)
{
    bmm__expect_end_scope(thread);
    bmm__quarantine_thin(&thread->quarantine);
    struct bmm__stack_memo *memo = thread->memo;
    thread->memo = NULL; /* first: a signal handler may allocate while it is freed */
    bmm__signal_fence();
    bmm__stack_memo_free(memo);
    /* A signal handler may find it again from here on, and then two threads would have it. */
    if (bmm__load_relaxed(&bmm__alone) == thread)
        bmm__alone_end_now();
    bmm__thread_own = NULL; /* who ends is the calling thread, and may free something yet */
    bmm__lock_take(&lock);
    thread->next_idle = idle;
    idle = thread;
    bmm__store_relaxed(&live_count, live_count - 1);
    bmm__lock_release(&lock);
}

void bmm__thread_forget_others(void)
{
    void **state = bmm__core_thread_state();
    bmm__store_relaxed(&live_count, state != NULL && *state != NULL ? 1u : 0u);
}

/* The other threads are gone; what they had in quarantine stays there, since a ring may be half written. */
void bmm__thread_fork_child(void)
{
    bmm__lock_reset(&lock);
    alloc_count_inherited = free_count_inherited = 0;
    bmm__thread_counts(&alloc_count_inherited, &free_count_inherited);
    void **state = bmm__core_thread_state();
    const struct bmm__thread *self = state != NULL ? *state : NULL;
    for (struct bmm__thread *other = all; other != NULL; other = other->next)
        if (other != self) {
            bmm__stack_memo_lose(other->memo);
            other->memo = NULL;
        }
    if (self != NULL && table != NULL && self->index < index_next &&
        self->index / THREADS_PER_CHUNK == (index_next - 1) / THREADS_PER_CHUNK)
        bmm__store_release(&table[self->index % THREADS_PER_CHUNK].tid, bmm__os_thread_id());
}

void bmm__thread_counts(uint64_t *alloc_count, uint64_t *free_count)
{
    uint64_t allocs = 0, frees = 0;
    for (const struct bmm__thread *t = bmm__load_acquire(&all); t != NULL; t = t->next) {
        allocs += bmm__load_relaxed(&t->past_alloc_count) + bmm__load_relaxed(&t->alloc_count);
        frees += bmm__load_relaxed(&t->past_free_count) + bmm__load_relaxed(&t->free_count);
    }
    *alloc_count = allocs - alloc_count_inherited;
    *free_count = frees - free_count_inherited;
}

void bmm__thread_each(void (*visit)(struct bmm__thread *thread))
{
    for (struct bmm__thread *t = bmm__load_acquire(&all); t != NULL; t = t->next)
        visit(t);
}

uint32_t bmm__thread_live_count(void)
{
    return bmm__load_relaxed(&live_count);
}
