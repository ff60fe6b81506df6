/* What others have done to a heap while its thread slept or was gone is caught up with some at a time: no call does all of it. */
#include "tests/plain.h"

#include "core/atomic.h"
#include "core/client.h"
#include "core/heap.h"
#include "core/page_map.h"
#include "core/process.h"
#include "core/remote.h"
#include "core/valid.h"

#include <pthread.h>
#include <semaphore.h>

enum { SPANS = 300, SLOTS = 64, BLOCK = 1024 }; /* of BLOCK, SLOTS are 64 KiB */
#define AT_ONCE ((size_t)2 << 20)

static void *blocks[SPANS * SLOTS];
static sem_t made, may_go_on;

static unsigned spans_of(const struct bmm__span *span)
{
    unsigned count = 0;
    for (; span != NULL; span = span->next)
        count++;
    return count;
}

static void *make_and_sleep(void *heap)
{
    for (size_t i = 0; i < SPANS * SLOTS; i++)
        blocks[i] = bmm__core_alloc(BLOCK, 16, false);
    *(struct bmm__heap **)heap = bmm__thread_heap();
    sem_post(&made);
    sem_wait(&may_go_on);
    return NULL;
}

/* Another thread has made blocks, and it sleeps, in *heap. */
static pthread_t start(struct bmm__heap **heap)
{
    pthread_t thread;
    sem_init(&made, 0, 0);
    sem_init(&may_go_on, 0, 0);
    pthread_create(&thread, NULL, make_and_sleep, (void *)heap);
    sem_wait(&made);
    return thread;
}

static void end(pthread_t thread)
{
    sem_post(&may_go_on);
    pthread_join(thread, NULL);
}

/* The heap's thread is asleep or gone. */
static void check_valid(struct bmm__heap *heap)
{
    const char *wrong = bmm__heap_invalid(heap);
    if (wrong != NULL)
        printf("  %s\n", wrong);
    PLAIN_CHECK(wrong == NULL);
}

PLAIN_TEST(spans_that_have_become_available_are_listed_in_parts)
{
    struct bmm__heap *heap;
    pthread_t thread = start(&heap);
    for (size_t i = 0; i < SPANS * SLOTS; i += 4) /* enough of each to be available */
        bmm__core_free(blocks[i]);
    bmm__remote_send_all(bmm__thread_heap());
    unsigned waiting = spans_of(bmm__load_acquire(&heap->ready)), rounds = 0;
    PLAIN_CHECK(waiting > 64);
    unsigned class_index = bmm__slot_class(BLOCK, 16);
    unsigned listed = spans_of(heap->bins[class_index].first);
    end(thread); /* and the heap is nobody's */
    for (bool is_done = false; !is_done; rounds++) {
        is_done = bmm__heap_cool(heap);
        unsigned now = spans_of(heap->bins[class_index].first);
        PLAIN_CHECK(now <= listed + 64 + 1); /* and its current one */
        PLAIN_CHECK(is_done == (heap->unlisted == NULL && heap->bins[class_index].current == NULL));
        check_valid(heap);
        listed = now;
    }
    PLAIN_CHECK(rounds > waiting / 64);
    for (size_t i = 0; i < SPANS * SLOTS; i++)
        if (i % 4 != 0)
            bmm__core_free(blocks[i]);
    bmm__remote_send_all(bmm__thread_heap());
    check_valid(heap);
    PLAIN_CHECK(spans_of(heap->bins[class_index].first) <= SPANS); /* claimed ones are there until somebody comes by */
}

/* Of each span the last blocks wait in an outbox. */
PLAIN_TEST(what_waits_in_an_outbox_is_sent_until_some_memory_has_gone_back)
{
    struct bmm__heap *heap, *mine = bmm__thread_heap();
    pthread_t thread = start(&heap);
    size_t most = 0, before;
    for (size_t i = 0; i < SPANS * SLOTS; i++)
        bmm__core_free(blocks[i]);
    PLAIN_CHECK(mine->posted_bytes > AT_ONCE);
    for (unsigned rounds = 0; (before = mine->posted_bytes) != 0; rounds++) {
        bmm__remote_send_due(mine);
        size_t sent = before - mine->posted_bytes;
        most = sent > most ? sent : most;
        PLAIN_CHECK(sent != 0 && sent <= 2 * AT_ONCE); /* most of it of spans that end so, not all */
    }
    PLAIN_CHECK(most >= AT_ONCE);
    end(thread);
    check_valid(heap);
}
