#include "core/heap_pool.h"

#include "core/atomic.h"
#include "core/lock.h"
#include "core/meta.h"
#include "core/os.h"

#define WARM_MAX 8u
#define BATCH 8u
#define POPULATED_MAX 4u
#define HEAP_BYTES BMM__GRANULE
_Static_assert(sizeof(struct bmm__heap) <= HEAP_BYTES, "what is behind it is never touched");

uint32_t bmm__heap_pool_warm; /* written under lock */

BMM__LOCK(lock, BMM__RANK_HEAP_POOL);
static struct bmm__heap *warm, *cold; /* under lock */
static struct bmm__heap *all;         /* written under lock, release; read by anyone, acquire */
static char *blank;                   /* under lock: memory for blank_count heaps that were never used */
static unsigned blank_count;
static uint32_t populated; /* heaps that were, or would have been; relaxed */

static void count_warm(int change)
{
    bmm__store_relaxed(&bmm__heap_pool_warm, bmm__heap_pool_warm + (uint32_t)change);
}

/* Under lock. */
static void put(struct bmm__heap *heap, enum bmm__heap_pooled how)
{
    struct bmm__heap **list = how == BMM__HEAP_COLD ? &cold : &warm;
    heap->pooled = (uint8_t)how;
    bmm__store_relaxed(&heap->thread_id, 0u);
    heap->next = *list;
    *list = heap;
    if (how != BMM__HEAP_COLD)
        count_warm(1);
}

/* Under lock. */
static struct bmm__heap *take_at(struct bmm__heap **at)
{
    struct bmm__heap *heap = *at;
    if (heap == NULL)
        return NULL;
    *at = heap->next;
    if (heap->pooled != BMM__HEAP_COLD)
        count_warm(-1);
    heap->pooled = BMM__HEAP_IN_USE;
    return heap;
}

/* Memory for one, which reads as zero, if there is some. */
static struct bmm__heap *take_blank(void)
{
    struct bmm__heap *heap = NULL;
    bmm__lock_take(&lock);
    if (blank_count != 0) {
        blank_count--;
        heap = (struct bmm__heap *)(void *)blank;
        blank += HEAP_BYTES;
    }
    bmm__lock_release(&lock);
    return heap;
}

/* Memory for some; for one, if that is too much. Not under the lock, so that threads which start at the same time do not
 * wait for each other. */
static bool map_blank(void)
{
    unsigned count = bmm__load_relaxed(&all) == NULL ? 1 : BATCH; /* who has threads at all has many */
    char *start = bmm__meta_map(count * HEAP_BYTES);
    if (start == NULL)
        start = bmm__meta_map((count = 1) * HEAP_BYTES);
    bmm__lock_take(&lock);
    bool is_mine = blank_count == 0 && start != NULL;
    if (is_mine) {
        blank = start;
        blank_count = count;
    }
    bool is_any = blank_count != 0;
    bmm__lock_release(&lock);
    if (start != NULL && !is_mine)
        bmm__meta_unmap(start, count * HEAP_BYTES);
    return is_any || start != NULL;
}

/* What nearly every thread touches, four pages: the tables by size and the lists, which nobody writes to who has a client, and the first
 * bins. Of the first few only: the call waits for whoever maps something, which page faults do not, and where many threads begin, who has to
 * wait lets the others on, so that more of them have blocks at once. */
static void populate(struct bmm__heap *heap, bool has_client)
{
    if (bmm__add_relaxed(&populated, 1u) >= POPULATED_MAX)
        return;
    char *start = has_client ? (char *)&heap->token : (char *)heap;
    bmm__os_populate(start, (size_t)((char *)&heap->bins[BMM__CLASS_COUNT] - start));
}

static struct bmm__heap *make(bool has_client)
{
    struct bmm__heap *heap;
    while ((heap = take_blank()) == NULL)
        if (!map_blank())
            return NULL;
    populate(heap, has_client);
    bmm__heap_init(heap, has_client);
    bmm__lock_take(&lock);
    if (all != NULL)
        bmm__store_relaxed(&bmm__heap_has_company, true);
    heap->all_next = all;
    bmm__store_release(&all, heap);
    bmm__lock_release(&lock);
    return heap;
}

struct bmm__heap *bmm__heap_pool_take(bool has_client)
{
    bmm__lock_take(&lock);
    struct bmm__heap *heap = take_at(warm != NULL ? &warm : &cold);
    bmm__lock_release(&lock);
    return heap != NULL ? heap : make(has_client);
}

void bmm__heap_pool_give(struct bmm__heap *heap, bool has_client)
{
    bool is_warm = !has_client && bmm__load_relaxed(&bmm__heap_pool_warm) < WARM_MAX;
    if (!is_warm)
        bmm__heap_minimize(heap);
    else
        bmm__heap_send(heap);
    bmm__heap = &bmm__dead_heap; /* before another thread can take it */
    bmm__lock_take(&lock);
    put(heap, is_warm ? BMM__HEAP_WARM : BMM__HEAP_COLD);
    bmm__lock_release(&lock);
}

/* One that was passed by twice; the others have been passed by once now. */
static struct bmm__heap *take_one_to_cool(bool is_all)
{
    for (struct bmm__heap **at = &warm; *at != NULL; at = &(*at)->next)
        if (is_all || (*at)->pooled == BMM__HEAP_COOLING)
            return take_at(at);
    return NULL;
}

bool bmm__heap_pool_cool(bool is_all)
{
    bmm__lock_take(&lock);
    struct bmm__heap *heap = take_one_to_cool(is_all);
    for (struct bmm__heap *other = heap == NULL ? warm : NULL; other != NULL; other = other->next)
        other->pooled = BMM__HEAP_COOLING;
    bmm__lock_release(&lock);
    if (heap == NULL)
        return true;
    bool is_done = true;
    if (is_all)
        bmm__heap_minimize(heap); /* not under the lock: it tells the client, and takes others */
    else
        is_done = bmm__heap_cool(heap);
    bmm__lock_take(&lock);
    put(heap, is_done ? BMM__HEAP_COLD : BMM__HEAP_COOLING);
    bmm__lock_release(&lock);
    return false;
}

struct bmm__heap *bmm__heap_pool_all(void)
{
    return bmm__load_acquire(&all);
}

void bmm__heap_pool_adopt(const struct bmm__heap *mine)
{
    for (struct bmm__heap *heap = all; heap != NULL; heap = heap->all_next) {
        if (heap != mine) {
            heap->sending = NULL; /* what was on its way will not arrive */
            heap->is_looking = 0;
        }
        if (heap != mine && heap->pooled == BMM__HEAP_IN_USE && !heap->is_busy) {
            heap->client_state = NULL;
            put(heap, BMM__HEAP_COOLING); /* its outbox is still to be sent */
        }
    }
}
