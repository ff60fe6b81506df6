#include "core/jit.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/jit_region.h"
#include "core/os.h"
#include "core/purge.h"

#include "brainmm/brainmm.h"

#include <errno.h>

BMM__LOCK(pool_lock, BMM__RANK_JIT_HEAPS);
static struct bmm_jit_heap *unused; /* under it */

/* ---- lists of regions ---- */

static void append(struct bmm__jit_list *list, struct bmm__jit_region *region)
{
    region->next = NULL;
    region->prev = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = region;
    list->last = region;
}

static void take_out(struct bmm__jit_list *list, struct bmm__jit_region *region)
{
    *(region->prev != NULL ? &region->prev->next : &list->first) = region->next;
    *(region->next != NULL ? &region->next->prev : &list->last) = region->prev;
}

/* ---- regions come and go ---- */

/* Not for want of anything: the system does not let the process do it. */
static bool is_refusal(int error)
{
    return error != ENOMEM && error != EAGAIN && error != EMFILE && error != ENFILE && error != EFBIG;
}

/* With two views from the first refusal on. NULL with errno as for the program. */
static struct bmm__jit_region *open_region(struct bmm_jit_heap *heap, size_t bytes, size_t own_bytes)
{
    struct bmm__jit_region *region = bmm__jit_region_open(heap, bytes, own_bytes, heap->has_two_views);
    if (region == NULL && errno == ENOMEM) {
        bmm__purge_for_room();
        region = bmm__jit_region_open(heap, bytes, own_bytes, heap->has_two_views);
    }
    if (region == NULL && !heap->has_two_views && is_refusal(errno)) {
        region = bmm__jit_region_open(heap, bytes, own_bytes, true);
        bmm__store_relaxed(&heap->has_two_views, region != NULL);
    }
    if (region == NULL)
        errno = is_refusal(errno) ? EACCES : ENOMEM;
    return region;
}

static void close_shared(struct bmm_jit_heap *heap, struct bmm__jit_region *region)
{
    take_out(&heap->shared, region);
    heap->shared_bytes -= region->bytes;
    bmm__jit_region_close(region);
}

/* A shared region has no piece any more: of two the smaller one is kept. */
static void is_empty_now(struct bmm_jit_heap *heap, struct bmm__jit_region *region)
{
    struct bmm__jit_region *other = heap->spare;
    BMM_ASSERT(region->piece_count == 0 && region != other);
    if (region->is_frozen || (other != NULL && other->bytes <= region->bytes)) {
        close_shared(heap, region);
        return;
    }
    heap->spare = region;
    if (other != NULL)
        close_shared(heap, other);
}

static void *new_piece(struct bmm_jit_heap *heap, struct bmm__jit_region *region, size_t size)
{
    size_t offset;
    if (!bmm__jit_region_take(region, size, &offset))
        return NULL;
    if (region == heap->spare)
        heap->spare = NULL;
    return (void *)(region->views[BMM__JIT_WRITABLE] + offset); /* NOLINT */
}

static void *get_shared(struct bmm_jit_heap *heap, size_t size)
{
    for (struct bmm__jit_region *region = heap->shared.first; region != NULL; region = region->next) {
        void *piece = new_piece(heap, region, size);
        if (piece != NULL)
            return piece;
    }
    size_t bytes = heap->shared_bytes < BMM__GRANULE                ? BMM__GRANULE
                   : heap->shared_bytes > BMM__JIT_REGION_BYTES_MAX ? BMM__JIT_REGION_BYTES_MAX
                                                                    : heap->shared_bytes;
    struct bmm__jit_region *region = open_region(heap, bytes, 0);
    if (region == NULL)
        return NULL;
    append(&heap->shared, region);
    heap->shared_bytes += bytes;
    return new_piece(heap, region, size);
}

static void *get_own(struct bmm_jit_heap *heap, size_t size)
{
    if (size > PTRDIFF_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    struct bmm__jit_region *region = open_region(heap, (size + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1), size);
    if (region == NULL)
        return NULL;
    append(&heap->own, region);
    return (void *)region->views[BMM__JIT_WRITABLE]; /* NOLINT */
}

/* ---- the calls ---- */

static struct bmm_jit_heap *make(void)
{
    bmm__lock_take(&pool_lock);
    struct bmm_jit_heap *heap = unused;
    if (heap != NULL) {
        unused = heap->next;
    } else if ((heap = bmm__core_meta_alloc(sizeof *heap)) != NULL) {
        heap->lock = (struct bmm__lock)BMM__LOCK_INIT(BMM__RANK_JIT);
        bmm__lock_register(&heap->lock);
    }
    bmm__lock_release(&pool_lock);
    return heap;
}

struct bmm_jit_heap *bmm__jit_create(unsigned flags)
{
    if ((flags & ~(unsigned)BMM_JIT_DUAL_VIEWS) != 0) {
        errno = EINVAL;
        return NULL;
    }
    int saved_errno = errno;
    struct bmm_jit_heap *heap = make();
    errno = heap == NULL ? ENOMEM : saved_errno;
    if (heap == NULL)
        return NULL;
    BMM_ASSERT(!heap->is_open && heap->shared.first == NULL && heap->own.first == NULL);
    heap->has_two_views = (flags & BMM_JIT_DUAL_VIEWS) != 0 || !bmm__jit_region_may_have_one_view();
    heap->is_open = true;
    return heap;
}

bool bmm__jit_has_dual_views(const struct bmm_jit_heap *heap)
{
    return bmm__load_relaxed(&heap->has_two_views);
}

static void *get(struct bmm_jit_heap *heap, size_t size)
{
    BMM_ASSERT(heap->is_open);
    int saved_errno = errno;
    size = size == 0 ? 1 : size;
    void *piece = size <= BMM__JIT_SHARED_MAX ? get_shared(heap, size) : get_own(heap, size);
    if (piece != NULL)
        errno = saved_errno;
    return piece;
}

void *bmm__jit_get(struct bmm_jit_heap *heap, size_t size)
{
    return get(heap, size);
}

void *bmm__jit_sync_get(struct bmm_jit_heap *heap, size_t size)
{
    bmm__lock_take(&heap->lock);
    void *piece = get(heap, size);
    bmm__lock_release(&heap->lock);
    return piece;
}

/* The heap's piece that address lies in. False with EINVAL: there is none. */
static bool find(const struct bmm_jit_heap *heap, const void *address, struct bmm__jit_piece *piece)
{
    bool is_found = bmm__jit_region_find((uintptr_t)address, piece) && piece->heap == heap;
    if (!is_found)
        errno = EINVAL;
    return is_found;
}

static void *seen_at(const struct bmm_jit_heap *heap, const void *address, enum bmm__jit_view_is view)
{
    struct bmm__jit_piece piece;
    if (!find(heap, address, &piece))
        return NULL;
    return (void *)((uintptr_t)address - piece.starts[piece.view] + piece.starts[view]); /* NOLINT */
}

void *bmm__jit_code(const struct bmm_jit_heap *heap, const void *writable)
{
    return seen_at(heap, writable, BMM__JIT_EXECUTABLE);
}

void *bmm__jit_data(const struct bmm_jit_heap *heap, const void *code)
{
    return seen_at(heap, code, BMM__JIT_WRITABLE);
}

/* What was written goes to where instructions are fetched from, and what was fetched of these addresses is forgotten. (Of the
 * writable view as well: a data cache that goes by addresses holds it there.) */
static void synchronise(char *writable, char *executable, size_t bytes)
{
    if (writable != executable)
        __builtin___clear_cache(writable, writable + bytes);
    __builtin___clear_cache(executable, executable + bytes);
#if !defined(__x86_64__) && !defined(__i386__)
    bmm__os_code_refetch();
#endif
}

bool bmm__jit_publish(const struct bmm_jit_heap *heap, const void *writable, size_t size)
{
    struct bmm__jit_piece piece;
    if (!find(heap, writable, &piece))
        return false;
    size_t from = (uintptr_t)writable - piece.starts[piece.view];
    if (size > piece.bytes - from) {
        errno = EINVAL;
        return false;
    }
    if (size != 0)
        synchronise((char *)piece.starts[BMM__JIT_WRITABLE] + from, (char *)piece.starts[BMM__JIT_EXECUTABLE] + from,
                    size); /* NOLINT */
    return true;
}

static bool end(struct bmm_jit_heap *heap, const void *p)
{
    BMM_ASSERT(heap->is_open);
    struct bmm__jit_piece piece;
    if (!find(heap, p, &piece))
        return false;
    if ((uintptr_t)p != piece.starts[piece.view]) {
        errno = EINVAL;
        return false;
    }
    struct bmm__jit_region *region = piece.region;
    if (region->unit_count == 0) {
        take_out(&heap->own, region);
        bmm__jit_region_close(region);
        return true;
    }
    bmm__jit_region_give(&piece);
    if (region->piece_count == 0)
        is_empty_now(heap, region);
    return true;
}

bool bmm__jit_free(struct bmm_jit_heap *heap, void *p)
{
    return end(heap, p);
}

bool bmm__jit_sync_free(struct bmm_jit_heap *heap, void *p)
{
    bmm__lock_take(&heap->lock);
    bool is_done = end(heap, p);
    bmm__lock_release(&heap->lock);
    return is_done;
}

static void close_all(struct bmm__jit_list *list)
{
    for (struct bmm__jit_region *region = list->first, *next; region != NULL; region = next) {
        next = region->next; /* which closing makes another list's */
        bmm__jit_region_close(region);
    }
    *list = (struct bmm__jit_list){ NULL, NULL };
}

void bmm__jit_clear(struct bmm_jit_heap *heap)
{
    BMM_ASSERT(heap->is_open);
    close_all(&heap->shared);
    close_all(&heap->own);
    heap->spare = NULL;
    heap->shared_bytes = 0;
}

void bmm__jit_destroy(struct bmm_jit_heap *heap)
{
    if (heap == NULL)
        return;
    bmm__jit_clear(heap);
    heap->is_open = false;
    bmm__lock_take(&pool_lock);
    heap->next = unused;
    unused = heap;
    bmm__lock_release(&pool_lock);
}

/* ---- for the rest of the core ---- */

bool bmm__jit_find(uintptr_t address, struct bmm__jit_view *view)
{
    struct bmm__jit_piece piece;
    if (!bmm__jit_region_find(address, &piece))
        return false;
    bool is_one = piece.starts[0] == piece.starts[1];
    unsigned rights = BMM__OS_READ;
    if (is_one || piece.view == BMM__JIT_EXECUTABLE)
        rights |= BMM__OS_EXECUTE;
    if ((is_one || piece.view == BMM__JIT_WRITABLE) && !piece.is_frozen)
        rights |= BMM__OS_WRITE;
    *view = (struct bmm__jit_view){ .start = piece.starts[piece.view], .bytes = piece.bytes, .rights = rights };
    return true;
}
