/* What the process is: whether it has started, and who its client is. The slow paths of the entry look here. */
#ifndef BMM_PROCESS_H
#define BMM_PROCESS_H

#include "core/assert.h"
#include "core/client.h"
#include "core/heap.h"

struct bmm__process {
    const struct bmm__client *client; /* NULL, or set before the first heap was made and never changed */
    uint32_t state;                   /* 0 fresh · 1 a thread is starting it · 2 started */
};
extern struct bmm__process bmm__process BMM__HIDDEN;

/* Chooses the client; any thread, any time; returns when it is chosen. */
void bmm__process_start(void);

/* The calling thread's heap, made if need be. NULL: the thread has none and gets none (too late, or no memory); then
 * calls go to the shared heap between late_begin and late_end. */
struct bmm__heap *bmm__thread_heap(void);
struct bmm__heap *bmm__thread_heap_if_any(void);
/* Outside begin and end: the calling thread has given pages back that were no span of its heap. */
void bmm__thread_gave_back(void);
struct bmm__heap *bmm__late_begin(void);
void bmm__late_end(void);

/* A word of every module that must not be left out of a program linked with the static archive. */
extern const int bmm__process_anchor;

#endif
