#include "core/rescue.h"

#include "core/atomic.h"
#include "core/available.h"
#include "core/remote.h"

/* Nobody but the owner makes a full span anything else, unless enough of it was freed by others: then it is on its way already. */
static void take_back(struct bmm__heap *heap, struct bmm__span *span, uint64_t word)
{
    uint32_t live = span->list.countdown + span->bias;
    if (live == span->slot_count && BMM__REMOTE_COUNT(word) == 0)
        return;
    while (BMM__REMOTE_STATE(word) == BMM__REMOTE_FULL)
        if (bmm__cas_weak_seq_cst(&span->remote, &word, (word & ~(uint64_t)3) | BMM__REMOTE_OWNED)) {
            bmm__available_set_live(span, live);
            bmm__available_append(heap, span);
            if (BMM__REMOTE_COUNT(word) != 0 && bmm__remote_try_claim(span, word & ~(uint64_t)3))
                bmm__heap_gave_back(heap); /* as what others freed until now told nobody */
            return;
        }
}

void bmm__rescue(struct bmm__heap *heap, unsigned class_index)
{
    for (struct bmm__span *span = bmm__span_first(); span != NULL; span = span->all_next) {
        /* first: if another's span was full then, it is not this heap's afterwards */
        uint64_t word = bmm__load_acquire(&span->remote);
        if (BMM__REMOTE_STATE(word) == BMM__REMOTE_FULL && bmm__load_acquire(&span->heap) == heap &&
            bmm__load_acquire(&span->kind) == BMM__SPAN_SLOTS && span->class_index == class_index)
            take_back(heap, span, word);
    }
}
