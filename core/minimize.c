/* Giving back at the program's wish, at once: what the calling thread holds, or what all do.
 *
 * A heap is its thread's: nobody else may look into it. So what other threads hold is asked for, and they give it when they
 * next pass by the clock (heap.c); what nobody holds, and what is empty by others' frees alone, goes at once. */
#include "core/atomic.h"
#include "core/heap.h"
#include "core/process.h"
#include "core/purge.h"
#include "core/share.h"

#include "brainmm/brainmm.h"

bool bmm_thread_heap_minimize(void)
{
    const struct bmm__share_table *owner = bmm__share_owner();
    if (owner != NULL)
        return owner->thread_heap_minimize();
    struct bmm__heap *heap = bmm__thread_heap_if_any();
    bool has_released = heap != NULL && bmm__heap_minimize(heap);
    return bmm__purge_all() || has_released;
}
BMM__SHARE_OWN(bmm_thread_heap_minimize);

bool bmm_heap_minimize(void)
{
    const struct bmm__share_table *owner = bmm__share_owner();
    if (owner != NULL)
        return owner->heap_minimize();
    bmm__add_relaxed(&bmm__heap_minimize_wish, 1u);
    return bmm_thread_heap_minimize();
}
BMM__SHARE_OWN(bmm_heap_minimize);
