/* A heap: a thread's set of spans. Per class one *current* span, from which malloc takes, and a list of *available*
 * ones; spans without a free slot belong to nobody (span.h).
 *
 *   bmm__heap (TLS) ─► heap ─ direct[size/16] ─► span ─► free ─► slot ─► slot
 *
 * The thread's pointer has three states: the static empty heap (fresh), a heap of its own, the static dead heap (after
 * the thread's destructors; such late calls share one heap under a lock). Both static ones show the fast path an
 * empty span, and so does every heap while a client is installed.
 *
 * Invariants
 *  H1  direct[i] is the current span of its class or the empty span.
 *  H2  token is the heap's address, plus 1 while a client is installed: then no span looks like one's own.
 */
#ifndef BMM_HEAP_H
#define BMM_HEAP_H

#include "core/size_class.h"
#include "core/span.h"

#define BMM__DIRECT_COUNT (BMM__DIRECT_BYTES_MAX / 16 + 1)

struct bmm__heap {
    struct bmm__span *direct[BMM__DIRECT_COUNT];
    struct bmm__span *current[BMM__CLASS_COUNT];
    struct bmm__span *first[BMM__CLASS_COUNT], *last[BMM__CLASS_COUNT]; /* available, oldest first */
    uintptr_t token;
    void *client_state;
    struct bmm__heap *next; /* in the list of heaps without a thread */
};

extern __thread struct bmm__heap *bmm__heap __attribute__((tls_model("initial-exec")));
extern struct bmm__span bmm__empty_span;
extern struct bmm__heap bmm__dead_heap;

/* A slot of the class from the heap; NULL: out of memory. The heap is the caller's (or the caller holds its lock). */
void *bmm__heap_alloc(struct bmm__heap *heap, unsigned class_index);
/* Gives a slot of a span of slots back; heap may be NULL (a thread that never allocated). */
void bmm__heap_free(struct bmm__heap *heap, struct bmm__span *span, void *slot);
/* A local free has brought countdown to zero. */
void bmm__heap_span_emptied(struct bmm__span *span);
/* Collects what others freed, gives empty spans back. True if something was given back. */
bool bmm__heap_minimize(struct bmm__heap *heap);

#endif
