/* See stack_memo.h. */
#include "stack_memo.h"

#include "core/os.h"

#include <string.h>

#define NEAR_BYTES ((uintptr_t)1 << 18) /* below a known range: the same stack, grown deeper */

_Static_assert(sizeof(struct bmm__stack_memo) <= 2 * BMM__GRANULE, "of which a thread touches a few pages");

static size_t memo_bytes(void)
{
    return (sizeof(struct bmm__stack_memo) + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
}

struct bmm__stack_memo *bmm__stack_memo_make(void)
{
    return bmm__os_map(memo_bytes(), BMM__GRANULE);
}

void bmm__stack_memo_free(struct bmm__stack_memo *memo)
{
    if (memo)
        bmm__os_release(memo, memo_bytes());
}

struct bmm__memo_view *bmm__memo_view_of(struct bmm__stack_memo *memo, uintptr_t sp)
{
    for (uint32_t i = 0; i < BMM__MEMO_VIEWS; i++) {
        struct bmm__memo_view *view = &memo->views[i];
        if ((sp >= view->range.low && sp < view->range.high) ||
            (sp < view->range.low && view->range.low - sp < NEAR_BYTES && bmm__range_reach(&view->range, sp, sp))) {
            memo->last_view = i;
            return view;
        }
    }
    memo->last_view = memo->views[0].range.high == 0 ? 0 : (memo->last_view + 1) % BMM__MEMO_VIEWS;
    struct bmm__memo_view *view = &memo->views[memo->last_view];
    view->count = 0;
    view->frames[0] = (struct bmm__memo_frame){ .sp = UINTPTR_MAX };
    bmm__range_begin(&view->range, sp);
    return view;
}

static inline struct bmm__memo_check *add(struct bmm__memo_check *check, uintptr_t address)
{
    check->address = (const uintptr_t *)address;
    check->value = *check->address;
    return check + 1;
}

/* What step_by_wide_rule of stack_walk.c read. Returns behind the last check; *needs_fp as in the frame. */
static struct bmm__memo_check *add_wide(struct bmm__memo_check *check, const struct bmm__walk_frame *seen,
                                        const struct bmm__memo_frame *outer, bool *needs_fp)
{
    struct bmm__rule rule = bmm__rule_decode(seen->word);
    uintptr_t cfa = outer->sp;
    if (outer->needs_fp && rule.is_fp_saved)
        check = add(check, (rule.is_fp_by_fp ? seen->fp : cfa) + (uintptr_t)(intptr_t)rule.fp_offset);
    check = add(check, cfa + (uintptr_t)BMM__ARCH_RA_OFFSET(-rule.fp_offset));
    if (rule.is_cfa_stored) /* tried first: the other addresses hang on it */
        check = add(check, (rule.kind == BMM__RULE_SP ? seen->sp : seen->fp) + (uintptr_t)(intptr_t)rule.cfa_offset);
    *needs_fp = rule.kind == BMM__RULE_FP || rule.is_fp_by_fp || (outer->needs_fp && !rule.is_fp_saved);
    return check;
}

static inline uint32_t intern(struct bmm__stack_memo *memo, uint32_t parent, uintptr_t pc)
{
    uint64_t hash = (pc + parent * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    struct bmm__memo_node *node = &memo->nodes[hash >> 32 & (BMM__MEMO_NODES - 1)];
    if (BMM__UNLIKELY(node->pc != pc || node->parent != parent))
        *node = (struct bmm__memo_node){ pc, parent, bmm__depot_intern(parent, pc) };
    return node->id;
}

uint32_t bmm__memo_keep(struct bmm__stack_memo *memo, struct bmm__memo_view *view, uint32_t joined)
{
    const struct bmm__walk *walk = &memo->walk;
    struct bmm__memo_frame *outer = &view->frames[joined];
    struct bmm__memo_check *check = view->checks + outer->check_end;
    if (joined == 0 && walk->ends_in_zero)
        *++outer = (struct bmm__memo_frame){ .sp = walk->state.sp };
    for (uint32_t i = walk->count; i-- > 0;) {
        const struct bmm__walk_frame *seen = &walk->frames[i];
        struct bmm__memo_frame *frame = outer + 1;
        bool needs_fp = false;
        if (BMM__LIKELY(outer != view->frames)) { /* else it is the outermost, and nothing was read to go on */
            if (BMM__LIKELY(BMM__RULE_KIND(seen->word) != BMM__RULE_WIDE)) {
                uintptr_t distance = BMM__RULE_FP_DISTANCE(seen->word);
                if (outer->needs_fp && distance != 0)
                    check = add(check, outer->sp - distance);
                check = add(check, outer->sp + (uintptr_t)BMM__ARCH_RA_OFFSET(distance));
                needs_fp = BMM__RULE_KIND(seen->word) == BMM__RULE_FP || (outer->needs_fp && distance == 0);
            } else
                check = add_wide(check, seen, outer, &needs_fp);
        }
        frame->pc = seen->pc;
        frame->sp = seen->sp;
        frame->fp = seen->fp;
        frame->word = seen->word;
        frame->check_end = (uint16_t)(check - view->checks);
        frame->needs_fp = needs_fp;
        if (BMM__UNLIKELY(i < walk->own_count)) {
            frame->own = BMM__MEMO_OWN_LEFT_OUT;
            frame->depth = outer->depth;
            frame->id = outer->id;
        } else {
            frame->own = seen->pc - bmm__walk_own_start < bmm__walk_own_bytes ? BMM__MEMO_OWN_COUNTED : 0;
            frame->depth = outer->depth + 1;
            frame->id = intern(memo, outer->id, bmm__walk_node_pc(seen->pc, seen->word));
            if (BMM__UNLIKELY(frame->id == 0)) { /* what is cached for it: asked again, it may have room */
                memset(memo->nodes, 0, sizeof memo->nodes);
                view->count = 0;
                return 0;
            }
        }
        outer = frame;
    }
    view->count = (uint32_t)(outer - view->frames);
    return outer->id;
}
