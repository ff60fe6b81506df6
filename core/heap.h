/* A heap: a thread's set of spans. Per class one *current* span, from which malloc takes, and a list of *available*
 * ones; full spans are in neither, and come back by a free of their own thread or by the ready stack (span.h).
 *
 *   bmm__heap (TLS) ─► heap ─ direct[size/16] ─► span ─► free ─► slot ─► slot       sizes up to 1 KiB
 *                            └ shown[class] ────► span                              classes above
 *
 * Classes: the size classes once for blocks that asked for no alignment, and once more for each alignment from 32 to
 * 4096, so that a span has one alignment and realloc can keep it.
 *
 * The thread's pointer has three states: the static empty heap (fresh), a heap of its own, the static dead heap (after
 * the thread's destructors; such late calls share one heap under a lock). Both static ones show the fast path an
 * empty span, and so does every heap while a client is installed.
 *
 * Invariants
 *  H1  direct[i] and shown[i] are the current span of their class or the empty span.
 *  H2  token is the heap's address, plus 1 while a client is installed: then no span looks like one's own.
 *  H3  is_busy is set while the heap's lists are not in order; fork looks at it.
 */
#ifndef BMM_HEAP_H
#define BMM_HEAP_H

#include "core/size_class.h"
#include "core/span.h"

#define BMM__DIRECT_COUNT (BMM__DIRECT_BYTES_MAX / 16 + 1)
#define BMM__ALIGN_SHIFT_MIN 4
#define BMM__ALIGN_SHIFT_MAX 12 /* of slots */
#define BMM__ALIGN_COUNT (BMM__ALIGN_SHIFT_MAX - BMM__ALIGN_SHIFT_MIN + 1)
#define BMM__HEAP_CLASS_COUNT (BMM__CLASS_COUNT * BMM__ALIGN_COUNT)

struct bmm__heap_class {
    struct bmm__span *current;      /* NULL or the empty span: none */
    struct bmm__span *first, *last; /* available, oldest first */
};

struct bmm__heap {
    struct bmm__span *direct[BMM__DIRECT_COUNT];
    struct bmm__span *shown[BMM__CLASS_COUNT - BMM__DIRECT_CLASS_COUNT];
    uintptr_t token;
    void *client_state;
    uint64_t slow_ms;        /* the last slow allocation while memory waited to be purged */
    uint8_t is_busy;         /* H3 */
    uint8_t is_hidden;       /* nothing is in direct and shown: the next allocations pass by the clock */
    uint8_t is_pooled;       /* no thread has it; under the pool's lock */
    uint16_t align_sets;     /* bit i: classes of alignment 16 << i were used */
    struct bmm__span *ready; /* full spans that others freed into, through next; pushed with acq_rel, taken whole */
    struct bmm__heap *next;  /* in the pool */
    struct bmm__heap *all_next;
    struct bmm__heap_class classes[BMM__HEAP_CLASS_COUNT];
};

extern __thread struct bmm__heap *bmm__heap __attribute__((tls_model("initial-exec"), visibility("hidden")));
extern struct bmm__heap bmm__dead_heap;

/* Empty spans everywhere; the rest of *heap is zero. */
void bmm__heap_init(struct bmm__heap *heap, bool has_client);
/* A slot of the class from the heap; NULL: out of memory. The heap is the caller's (or the caller holds its lock). */
void *bmm__heap_alloc(struct bmm__heap *heap, unsigned class_index);
/* Gives a slot of a span of slots back; heap may be NULL (a thread that has none). */
void bmm__heap_free(struct bmm__heap *heap, struct bmm__span *span, void *slot);
/* A local free has brought countdown to zero. */
void bmm__heap_countdown_over(struct bmm__span *span);
/* Collects what others freed, gives empty spans back. True if something was given back. */
bool bmm__heap_minimize(struct bmm__heap *heap);
/* Claims empty spans whose owners have not noticed (P3), count descriptors per call. True: all were looked at. Under
 * the purge lock. */
bool bmm__heap_sweep(unsigned count);

#endif
