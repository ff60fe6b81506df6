/* JIT heaps: what the calls of brainmm.h do with regions (jit_region.h), and what the rest of the core asks of them.
 *
 *   heap ─┬─ shared ─► region ─► region ─► …     the oldest first, each as large as all before it, 64 KiB to 1 MiB
 *         └─ own ────► region ─► …               of one piece over BMM__JIT_SHARED_MAX each
 *
 * A new piece comes into the oldest region that has room, so that younger ones become empty. An empty one goes back, but for one
 * that is kept, so that a piece that comes and goes costs no mapping each time. Free pages of a region that has pieces stay.
 *
 * Invariants
 *  K1  A heap's descriptor is never used for anything else: its lock is in the registry for ever (L2).
 *  K2  shared_bytes counts the regions in shared; those have tables, those in own none.
 *  K3  spare is the one region in shared without a piece; NULL: there is none.
 */
#ifndef BMM_JIT_H
#define BMM_JIT_H

#include "core/lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bmm__jit_region;

struct bmm__jit_list {
    struct bmm__jit_region *first, *last;
};

struct bmm_jit_heap {
    struct bmm__lock lock; /* of the calls for several threads; the others take none */
    struct bmm__jit_list shared, own;
    struct bmm__jit_region *spare;
    size_t shared_bytes;
    bool has_two_views; /* new regions; atomic */
    bool is_open;
    struct bmm_jit_heap *next; /* among those that were destroyed; under the pool's lock */
};

struct bmm__jit_view {
    uintptr_t start; /* of the piece, in the view that the address lies in */
    size_t bytes;    /* that were asked for */
    unsigned rights; /* BMM__OS_READ … of this view, as the heap set them */
};

/* The calls of brainmm.h (jit_calls.c), of this copy's heaps. */
struct bmm_jit_heap *bmm__jit_create(unsigned flags);
bool bmm__jit_has_dual_views(const struct bmm_jit_heap *heap);
void *bmm__jit_get(struct bmm_jit_heap *heap, size_t size);
void *bmm__jit_sync_get(struct bmm_jit_heap *heap, size_t size);
void *bmm__jit_code(const struct bmm_jit_heap *heap, const void *writable);
void *bmm__jit_data(const struct bmm_jit_heap *heap, const void *code);
bool bmm__jit_publish(const struct bmm_jit_heap *heap, const void *writable, size_t size);
bool bmm__jit_free(struct bmm_jit_heap *heap, void *p);
bool bmm__jit_sync_free(struct bmm_jit_heap *heap, void *p);
void bmm__jit_clear(struct bmm_jit_heap *heap);
void bmm__jit_destroy(struct bmm_jit_heap *heap);

/* What bmm__jit_region_find finds, for who need not know more. */
bool bmm__jit_find(uintptr_t address, struct bmm__jit_view *view);

#endif
