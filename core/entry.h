/* The fast paths, shared by the libc names, the C++ operators and the bmm_ calls; and the slow path behind each. */
#ifndef BMM_ENTRY_H
#define BMM_ENTRY_H

#include "core/assert.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/heap.h"
#include "core/page_map.h"

/* NULL with ENOMEM, or with EINVAL for an align that is no power of two. */
void *bmm__alloc_slow(size_t size, size_t align, bool is_zeroed, unsigned kind);
/* What bmm__alloc does when there is no slot at hand. */
void *bmm__alloc_refill(size_t size, unsigned kind);
/* What bmm__calloc does when there is more to be zeroed, or no slot at hand. */
void *bmm__calloc_other(size_t size, unsigned kind);
void bmm__free_slow(void *p, size_t given_size, size_t given_align, unsigned kind);
/* What bmm__free does where the list that the block was found by is another heap's, or nobody's. */
void bmm__free_other(void *p, size_t given_size, size_t given_align, unsigned kind, const struct bmm__list *list);
/* A run for a use. NULL with ENOMEM. */
void *bmm__alloc_run(size_t size, size_t align, enum bmm__use use, unsigned kind);
/* Frees the run at p if it is one for that use, whose kind that is. NULL: nothing to do, true. False with EINVAL: it is not. */
bool bmm__free_as(void *p, enum bmm__use use, unsigned kind);
/* Stops the program: going on would hand its own memory, or nobody's, to the next allocation. */
_Noreturn void bmm__wrong_free(const void *p);
void *bmm__realloc_any(void *p, size_t size, unsigned kind);
/* The same without the content. */
void *bmm__reget_any(void *p, size_t size, unsigned kind);
size_t bmm__usable_size(const void *p);

/* Takes a slot of the list that lies so far behind the heap's start; false: none is free. */
static inline __attribute__((always_inline)) bool bmm__list_pop(struct bmm__heap *heap, size_t distance,
                                                                struct bmm__slot_link **slot)
{
#ifdef BMM_SECURE
    return bmm__secure_try_take(bmm__list_behind(heap, distance), slot); /* the slow path says what is wrong */
#else
    struct bmm__list *list = bmm__list_behind(heap, distance);
    /* Lest addressing add: what is stored so waits on its way to the next call's load (ARCHITECTURE.md). */
    BMM__BESIDE_RESULT(list);
    struct bmm__slot_link *first = list->free;
    if (BMM__UNLIKELY(first == NULL))
        return false;
    list->free = first->next;
    *slot = first;
    return true;
#endif
}

static inline void *bmm__alloc(size_t size, unsigned kind)
{
    struct bmm__heap *heap = bmm__heap;
    struct bmm__slot_link *slot;
    if (BMM__LIKELY(size <= BMM__SMALL_BYTES_MAX)) {
        if (bmm__list_pop(heap, heap->small_list[size], &slot)) {
            BMM__RETURNED(slot);
            return slot;
        }
    } else if (size <= BMM__SLOT_BYTES_MAX) {
        if (bmm__list_pop(heap, heap->medium_list[(size - 1) / BMM__MEDIUM_BYTES_STEP], &slot)) {
            BMM__RETURNED(slot);
            BMM__APART();
            return slot;
        }
    }
    return bmm__alloc_refill(size, kind);
}

typedef long long bmm__vector __attribute__((vector_size(16), may_alias));

#define BMM__ZERO_BYTES_MAX 256u /* from there on libc's memset is quicker, which has wider vectors */

/* Zeroes vectors as far as the one that begins at last (a multiple of 16, less than BMM__ZERO_BYTES_MAX): in overlapping
 * halves while that is few stores; quicker than libc's memset can choose. */
static inline void bmm__zero(void *start, size_t last)
{
    const bmm__vector zero = { 0, 0 };
    bmm__vector *first = start, *end = (bmm__vector *)(void *)((char *)start + last);
    BMM__BESIDE_RESULT(end);
    if (last <= 48) {
        first[0] = end[0] = zero;
        if (last > 16)
            first[1] = end[-1] = zero;
        return;
    }
    first[0] = first[1] = first[2] = first[3] = zero;
    if (BMM__UNLIKELY(last > 112)) {
        for (first += 4; end - first > 3; first += 4) {
            first[0] = first[1] = first[2] = first[3] = zero;
            __asm__("" : : : "memory"); /* lest the loop become a call of memset */
        }
    }
    end[0] = end[-1] = end[-2] = end[-3] = zero;
}

static inline void *bmm__calloc(size_t size, unsigned kind)
{
    struct bmm__heap *heap = bmm__heap;
    size_t last = size - 1;
    if (BMM__LIKELY(last < BMM__ZERO_BYTES_MAX)) { /* and size not 0 */
        struct bmm__slot_link *slot;
        if (bmm__list_pop(heap, heap->small_list[last + 1], &slot)) {
            bmm__zero(slot, last & ~(size_t)15);
            return slot;
        }
    }
    return bmm__calloc_other(size, kind);
}

/* As bmm__alloc_slow: align is looked at. */
static inline void *bmm__alloc_aligned(size_t size, size_t align, unsigned kind)
{
    if (align - 1 < 16 && (align & (align - 1)) == 0) /* as every slot */
        return bmm__alloc(size, kind);
    return bmm__alloc_slow(size, align, false, kind);
}

/* Gives a slot back to the list of the span that it lies in, which is the caller's. */
static inline void bmm__list_push(struct bmm__list_place place, void *slot, uintptr_t index)
{
#ifdef BMM_SECURE
    bmm__secure_retire(bmm__list_at(place), slot, index);
#else
    (void)index;
    struct bmm__slot_link *link = slot;
    link->next = bmm__list_at(place)->free;
    BMM__FORGET(place.distance);
    bmm__list_at(place)->free = link;
#endif
    BMM__FORGET(place.distance);
    if (BMM__UNLIKELY(bmm__single_writer_decrement(&bmm__list_at(place)->countdown))) {
        BMM__FORGET(place.distance);
        bmm__heap_countdown_over(bmm__list_at(place));
    }
}

static inline bool bmm__list_is_mine(struct bmm__list_place *place)
{
    uintptr_t owner = bmm__load_operand(&bmm__list_at(*place)->owner);
    BMM__FORGET_AFTER(place->distance, owner);
    return BMM__LIKELY(owner == (uintptr_t)bmm__heap);
}

static inline __attribute__((always_inline)) void bmm__free(void *p, size_t given_size, size_t given_align,
                                                            unsigned kind)
{
    struct bmm__list_place place;
    uintptr_t index;
    if (BMM__UNLIKELY(!bmm__page_map_look((uintptr_t)p, &place)))
        bmm__free_slow(p, given_size, given_align, kind);
    else if (BMM__LIKELY(bmm__list_is_mine(&place)) && bmm__list_may_free(bmm__list_at(place), p, &index))
        bmm__list_push(place, p, index);
    else
        bmm__free_other(p, given_size, given_align, kind, bmm__list_at(place));
}

#endif
