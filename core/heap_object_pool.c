#include "core/heap_object_pool.h"

#include "core/client.h"
#include "core/meta.h"
#include "core/os.h"

#define BATCH 16u
#define WARM_MAX 16u

BMM__LOCK(lock, BMM__RANK_OBJECT_POOL);
static struct bmm_heap *warm, *cold; /* under lock */
static uint32_t warm_count;

static size_t heap_bytes(void)
{
    size_t page = bmm__os_page_bytes();
    return (sizeof(struct bmm__heap) + page - 1) & ~(page - 1);
}

/* Under lock. */
static void put(struct bmm_heap **list, struct bmm_heap *object)
{
    object->next = *list;
    *list = object;
}

static struct bmm_heap *take(struct bmm_heap **list)
{
    struct bmm_heap *object = *list;
    *list = object->next;
    return object;
}

/* Under lock. False: no memory. */
static bool make_some(void)
{
    size_t bytes = (BATCH * heap_bytes() + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
    char *heaps = bmm__meta_map(bytes);
    struct bmm_heap *objects = heaps == NULL ? NULL : bmm__core_meta_alloc(BATCH * sizeof *objects);
    if (objects == NULL) {
        if (heaps != NULL)
            bmm__meta_unmap(heaps, bytes);
        return false;
    }
    for (size_t i = BATCH; i-- > 0;) {
        objects[i].heap = (struct bmm__heap *)(void *)(heaps + i * heap_bytes());
        objects[i].lock = (struct bmm__lock)BMM__LOCK_INIT(BMM__RANK_OBJECT);
        bmm__lock_register(&objects[i].lock);
        put(&cold, &objects[i]);
    }
    return true;
}

struct bmm_heap *bmm__object_pool_take(void)
{
    struct bmm_heap *object = NULL;
    bmm__lock_take(&lock);
    if (warm != NULL) {
        object = take(&warm);
        warm_count--;
    } else if (cold != NULL || make_some()) {
        object = take(&cold);
    }
    bmm__lock_release(&lock);
    if (object != NULL && object->spans == NULL) {
        bmm__heap_init(object->heap, true); /* so that nothing shows its spans to a fast path */
        object->heap->object = object;
        object->spans = object->first_spans;
        object->span_capacity = BMM__OBJECT_FIRST_SPANS;
    }
    return object;
}

/* Under lock. */
static bool keep_warm(struct bmm_heap *object)
{
    if (object->spans == NULL && warm_count >= WARM_MAX)
        return false;
    put(&warm, object);
    warm_count++;
    return true;
}

/* Nobody has a part of it any more, or will come to one. Large ones and spans may be kept by a client; the last look at a span may
 * have found it taken back by another thread, which its bin is yet to see. */
static bool is_empty(const struct bmm_heap *object)
{
    const struct bmm__heap *heap = object->heap;
    bool is_any = object->span_count != 0 || object->large != NULL || heap->unlisted != NULL ||
                  bmm__load_acquire(&heap->ready) != NULL;
    for (unsigned i = 0; i < BMM__HEAP_CLASS_COUNT && !is_any; i++)
        is_any = (heap->align_sets >> i / BMM__CLASS_COUNT & 1) != 0 && !bmm__bin_is_empty(&heap->bins[i]);
    return !is_any;
}

static void drop_spans(struct bmm_heap *object)
{
    if (object->spans != object->first_spans)
        bmm__meta_unmap(object->spans, object->span_capacity * sizeof *object->spans);
    object->spans = NULL;
}

void bmm__object_pool_give(struct bmm_heap *object)
{
    if (is_empty(object))
        drop_spans(object);
    bmm__lock_take(&lock);
    bool is_warm = keep_warm(object);
    bmm__lock_release(&lock);
    if (is_warm)
        return;
    bmm__os_purge_own(object->heap, heap_bytes());
    bmm__lock_take(&lock);
    put(&cold, object);
    bmm__lock_release(&lock);
}
