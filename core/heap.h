/* A heap: a thread's set of spans. Per class a *bin*: one *current* span, from which malloc takes, and a list of
 * *available* ones; full spans are in neither, and come back by frees of their own thread or by the ready stack (span.h).
 *
 *   malloc: bmm__heap (TLS) ─► heap: small_list[size] or medium_list[(size-1)/128] ─► list ─► slot ─► slot
 *   free:   address ─► the window's table of lists ─► list in the heap of the current span, or the span's own ─► slot
 *
 * Classes: the size classes once for blocks that asked for no alignment, and once more for each alignment from 32 to
 * 4096, so that a span has one alignment and realloc can keep it.
 *
 * The thread's pointer has three states: the static empty heap (fresh), a heap of its own, the static dead heap (after
 * the thread's destructors; such late calls share one heap under a lock). Both static ones are all zero, and so are the
 * tables of every heap while a client is installed: every size then finds the heap's own first bytes, as a list of
 * nothing.
 *
 * Invariants
 *  H1  Of a shown span the heap's list of its class stands for the span's own, and the window's entries say so; only current
 *      spans of the classes without alignment are shown. A list of a class without a shown span has nothing in it.
 *  H2  token is the heap's address, plus 1 while a client is installed: then no span looks like one's own.
 *  H3  is_busy is set while the heap's lists are not in order; fork looks at it.
 */
#ifndef BMM_HEAP_H
#define BMM_HEAP_H

#include "core/assert.h"
#include "core/atomic.h"
#include "core/size_class.h"
#include "core/span.h"

#define BMM__ALIGN_SHIFT_MIN 4
#define BMM__ALIGN_SHIFT_MAX 12 /* of slots */
#define BMM__ALIGN_COUNT (BMM__ALIGN_SHIFT_MAX - BMM__ALIGN_SHIFT_MIN + 1)
#define BMM__HEAP_PAGE 4096u  /* bytes that share a page of the system, whatever its size */
#define BMM__LIST_STRIDE 128u /* bytes from one list in a heap to the next: a pair of lines */
#define BMM__HEAP_CLASS_COUNT (BMM__CLASS_COUNT * BMM__ALIGN_COUNT)

struct bmm__bin {
    struct bmm__span *current;      /* NULL: none */
    struct bmm__span *first, *last; /* available */
    uint32_t let_go_ms;             /* when current was last let go without need (let_go.h) */
    uint8_t busy;                   /* 0, or how often it would have been again, or was, sooner than that */
    uint8_t busy_times; /* lists without slots meanwhile, of spans much used, modulo 256: some ask if it still is */
};

static inline bool bmm__bin_is_empty(const struct bmm__bin *bin)
{
    return bin->current == NULL && bin->first == NULL;
}

/* The list of a class that stands for its shown span's (H1). Others who free read who its owner is, and the owner writes the
 * rest at every malloc and free, so that is on another cache line, of another pair (which some processors fetch together). */
struct bmm__shown_list {
    struct bmm__list list;
    char apart[BMM__LIST_STRIDE - sizeof(struct bmm__list)];
};

/* What waits to be pushed to a span of another heap: see remote.h. One line. */
#define BMM__OUTBOX_COUNT 256u
struct bmm__outbox {
    struct bmm__span *span; /* NULL: nothing */
    uint32_t key;           /* of the list that its blocks were found by */
    uint16_t count;
    uint16_t room;                        /* with one slot more it is to be sent; 0: nothing */
    uint16_t slots[BMM__BATCH_SLOTS_MAX]; /* their indices */
} __attribute__((aligned(64)));

enum bmm__heap_pooled { BMM__HEAP_IN_USE = 0, BMM__HEAP_WARM, BMM__HEAP_COOLING, BMM__HEAP_COLD };

struct bmm__heap {
    uint16_t small_list[BMM__SMALL_BYTES_MAX + 1]; /* by size: distance of its list from the heap */
    uint16_t medium_list[BMM__SLOT_BYTES_MAX / BMM__MEDIUM_BYTES_STEP]; /* by (size - 1) / step */
    char apart[BMM__LIST_STRIDE - offsetof(struct bmm__list, owner)] __attribute__((aligned(BMM__LIST_STRIDE)));
    struct bmm__shown_list lists[BMM__CLASS_COUNT];
    /* From here on to the first bins, in one page: all that a heap uses of which no span is ever shown. */
    uintptr_t token __attribute__((aligned(BMM__HEAP_PAGE)));
    void *client_state;
    uint64_t slow_ms;      /* the last look at the clock */
    uint64_t let_go_ms;    /* when current spans of all classes began to be let go last (heap_look.c) */
    uint8_t let_go_next;   /* the class to go on with; BMM__CLASS_COUNT: it is through */
    uint8_t is_busy;       /* H3 */
    uint8_t is_looking;    /* before it counts as a looker until it does not (visit.h) */
    uint8_t watch;         /* slow calls for which the clock is looked at each time */
    uint8_t looks;         /* slow calls until the next look at the clock */
    uint8_t idle_looks;    /* looks that found nothing to be given back */
    uint8_t pooled;        /* enum bmm__heap_pooled; under the pool's lock (heap_pool.h) */
    uint16_t align_sets;   /* bit i: classes of alignment 16 << i were used */
    uint32_t thread_id;    /* of the system; 0: in the pool */
    uint32_t minimized;    /* the wish that it has fulfilled (bmm__heap_minimize_wish) */
    uint16_t next_to_send; /* entry of the outbox, modulo their count */
    uint32_t posted_bytes; /* of the spans that the outbox has slots of; one may count more than once */
    uint64_t posted[BMM__OUTBOX_COUNT / 64]; /* bit i: entry i has some */
    struct bmm__span *sending;  /* a batch is on its way from the outbox to this one; NULL: none (visit.c) */
    struct bmm__span *unlisted; /* some that were taken from there and are in no list yet, through next */
    struct bmm__span *ready;    /* full spans that others freed into, through next; pushed with acq_rel, taken whole */
    struct bmm__heap *next;     /* in the pool */
    struct bmm__heap *all_next;
    struct bmm_heap *object; /* the program's whose heap it is, and no thread's: heap_object.h; NULL: none */
    struct bmm__bin bins[BMM__HEAP_CLASS_COUNT]; /* those of aligned slots, which few programs touch, are the last */
    struct bmm__outbox outbox[BMM__OUTBOX_COUNT];
};

static inline struct bmm__list *bmm__list_behind(struct bmm__heap *heap, size_t distance)
{
    return (struct bmm__list *)(void *)((char *)heap + distance);
}

/* How far the list of a size up to BMM__SLOT_BYTES_MAX is behind the heap; the class of that list. */
static inline size_t bmm__heap_distance(const struct bmm__heap *heap, size_t size)
{
    return size <= BMM__SMALL_BYTES_MAX ? heap->small_list[size]
                                        : heap->medium_list[(size - 1) / BMM__MEDIUM_BYTES_STEP];
}
static inline unsigned bmm__heap_class(size_t distance)
{
    return (unsigned)(distance - offsetof(struct bmm__heap, lists)) / BMM__LIST_STRIDE;
}

_Static_assert(offsetof(struct bmm__heap, outbox) <= UINT16_MAX, "the lists are within reach of 16 bits");
_Static_assert(offsetof(struct bmm__heap, bins[BMM__CLASS_COUNT]) <= offsetof(struct bmm__heap, token) + BMM__HEAP_PAGE,
               "what a heap touches nothing of which is shown is in one page");
_Static_assert(sizeof(struct bmm__shown_list) == BMM__LIST_STRIDE &&
                   (offsetof(struct bmm__heap, lists) + offsetof(struct bmm__list, owner)) % BMM__LIST_STRIDE == 0,
               "a list's owner begins a pair of lines");

extern __thread struct bmm__heap *bmm__heap __attribute__((tls_model("initial-exec"), visibility("hidden")));
extern struct bmm__heap bmm__dead_heap BMM__HIDDEN;

/* The class of the smallest slots that are all multiples of align, size not 0; BMM__HEAP_CLASS_COUNT: none. */
unsigned bmm__slot_class(size_t size, size_t align);

/* *heap is zero, or was made so before and has nothing in it. */
void bmm__heap_init(struct bmm__heap *heap, bool has_client);
/* A slot of that class of the heap; NULL: out of memory. The heap is the caller's (or the caller holds its
 * lock). */
void *bmm__heap_alloc(struct bmm__heap *heap, unsigned class_index);
/* Gives the slot of a span of slots back that has the index; heap may be NULL (a thread that has none). */
void bmm__heap_free(struct bmm__heap *heap, struct bmm__span *span, void *slot, uint32_t index);
/* A local free has brought the list's countdown to zero. */
void bmm__heap_countdown_over(struct bmm__list *list);
/* A slot of a span of the caller's heap becomes the first of the list that stands for it. */
static inline void bmm__heap_put(struct bmm__list *list, void *slot, uintptr_t index)
{
    bmm__list_put(list, slot, index);
    if (BMM__UNLIKELY(bmm__single_writer_decrement(&list->countdown)))
        bmm__heap_countdown_over(list);
}
/* The list that stands for the span now. */
static inline struct bmm__list *bmm__span_list(struct bmm__span *span)
{
    return bmm__load_relaxed(&span->is_shown) != 0 ? &span->heap->lists[span->class_index].list : &span->list;
}
/* What bmm__heap_recover() does with a span that is OPEN. */
bool bmm__heap_recover_from_others(struct bmm__heap *heap, struct bmm__span *span);

/* Before the owner looks at a current span: others may not claim it any more (P7). False: they have, and it is none. Between begin and
 * end, as the next one. */
static inline bool bmm__heap_recover(struct bmm__heap *heap, struct bmm__span *span)
{
    return BMM__LIKELY(span->listed != BMM__LISTED_OPEN) || bmm__heap_recover_from_others(heap, span);
}

/* The current span of the class (there is one) becomes an available one, with its live count found by counting; and if no slot is
 * live, it is spare, or goes back. */
void bmm__heap_let_current_go(struct bmm__heap *heap, unsigned class_index);
/* The heap's thread has given memory back: while some waits to be purged, the heap's first allocations of each class are
 * slow ones, so that they pass by the clock. Between begin and end. */
void bmm__heap_gave_back(struct bmm__heap *heap);
/* Looks at the clock; true: the heap's thread is watched (heap_look.c). Between begin and end. */
bool bmm__heap_look(struct bmm__heap *heap);
void bmm__heap_look_now(struct bmm__heap *heap); /* outside of them */
/* The same from time to time: one call in 15 or 16, and each while the thread is watched. */
static inline bool bmm__heap_is_to_look(const struct bmm__heap *heap)
{
    return heap->watch != 0 || heap->looks == 0;
}
static inline bool bmm__heap_pass_by(struct bmm__heap *heap)
{
    if (BMM__LIKELY(!bmm__heap_is_to_look(heap))) {
        heap->looks--;
        return false;
    }
    return bmm__heap_look(heap);
}
/* Whether a bin's current span (NULL: it has none) is not shown and has a slot; and nothing else is to be done; then that slot. */
static inline bool bmm__heap_has_slot(const struct bmm__span *span)
{
    return BMM__LIKELY(span != NULL && !span->is_shown && !bmm__list_is_empty(&span->list));
}
static inline bool bmm__heap_may_take(const struct bmm__heap *heap, const struct bmm__span *span)
{
    return bmm__heap_has_slot(span) && BMM__LIKELY(!bmm__heap_is_to_look(heap));
}
static inline struct bmm__slot_link *bmm__heap_take(struct bmm__heap *heap, struct bmm__span *span)
{
    heap->looks--;
    return bmm__list_take(&span->list);
}
/* Collects what others freed, gives empty spans back. True if something was given back. */
bool bmm__heap_minimize(struct bmm__heap *heap);
/* Of a heap that nobody has: with each call some more of its spans are such that who frees the last slots of one gives it back. True:
 * all are. */
bool bmm__heap_cool(struct bmm__heap *heap);
/* Counts how often all heaps were asked to do so; each does when its thread finds that it did not yet. */
extern uint32_t bmm__heap_minimize_wish BMM__HIDDEN;
/* More than one thread has, or had, a heap (of its own: not one that the program made). */
extern bool bmm__heap_has_company BMM__HIDDEN;
/* Pushes what waits in the outbox. */
void bmm__heap_send(struct bmm__heap *heap);

/* Around every change of the heap's lists and outbox (H3). */
static inline void bmm__heap_begin(struct bmm__heap *heap)
{
    bmm__store_relaxed(&heap->is_busy, 1);
    bmm__signal_fence();
}
static inline void bmm__heap_end(struct bmm__heap *heap)
{
    bmm__signal_fence();
    bmm__store_relaxed(&heap->is_busy, 0);
}

#endif
