/* Which slots of a span are in use, from the span alone: what is not on a free list was handed out. */
#ifndef BMM_VISIT_H
#define BMM_VISIT_H

#include "core/client.h"
#include "core/span.h"

/* Whether the slot with the index, of a span of slots, is in use. *is_certain: no batch for the span was on its way while it was looked
 * for; then the answer is exact on the owner's thread, for what was freed before. Else it is true. */
bool bmm__visit_is_in_use(struct bmm__span *span, uint32_t index, bool *is_certain);

/* Calls visit for each of the span's slots that was in use when it began, until it says false, and says false then. */
bool bmm__visit_span(struct bmm__span *span, bmm__visitor *visit, void *context);

/* How many slots of the span are in use, likewise; of a span that is not allocated from without looking at them. */
uint32_t bmm__visit_live_count(struct bmm__span *span);

/* Around what follows links in memory which may be free by now: no arena is unmapped meanwhile. Between them it asks the page map
 * whether the span is still there, before it follows any. Neither nested nor for long. */
void bmm__look_begin(void);
void bmm__look_end(void);
void bmm__look_fork_child(void); /* only the calling thread may be looking: its signal handler forks */

#endif
