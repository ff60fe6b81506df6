/* See stack.h. Puts the parts together: one capture is
 *
 *   the caller's state ──► fast walk ──► met the memo ───────────────► id of the rest, known ──► ids of what is inside
 *                           │  └───────► reached the end ────────────► remembered whole          it, from the depot
 *                           ├──────────► a frame that is hard ► full walk ┐
 *                           └──────────► cut ─────────────────────────────┴► ids from the depot, nothing remembered
 */
#include "stack.h"

#include "brainmm/snapshot.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "module.h"
#include "stack_fallback.h"
#include "stack_memo.h"
#include "stack_rules.h"
#include "stack_walk.h"

#define SPARE_WALKS 8

static uint32_t depth_max = 64;
static bool wants_fallback;

/* For captures without a memo, or that interrupted one with it: a walk does not fit on every signal stack. */
static struct bmm__walk spare_walks[SPARE_WALKS];
static uint32_t spares_taken; /* bit i: spare_walks[i] is */

/* ---- ids ---- */

/* The id of a walk's stack, by look-up of every frame. */
static uint32_t intern_all(const struct bmm__walk *walk, bool is_cut)
{
    uint32_t id = is_cut ? bmm__depot_intern(0, BMM_STACK_TRUNCATED) : 0;
    if (is_cut && id == 0)
        return 0;
    for (uint32_t i = walk->count; i-- > walk->own_count;)
        if ((id = bmm__depot_intern(id, bmm__walk_node_pc(walk->frames[i].pc, walk->frames[i].word))) == 0)
            return 0;
    return id;
}

/* The walk met the memo, but together they are too deep: takes from the memo what still fits. */
static __attribute__((noinline)) uint32_t intern_window(struct bmm__walk *walk, const struct bmm__memo_view *view,
                                                        uint32_t joined)
{
    for (; joined > 0; joined--) {
        const struct bmm__memo_frame *frame = &view->frames[joined];
        walk->state = (struct bmm__frame_state){ frame->pc, frame->sp, frame->fp };
        if (!bmm__walk_store(walk, frame->word))
            break;
    }
    return intern_all(walk, true);
}

/* ---- captures ---- */

static void begin(struct bmm__walk *walk, const struct bmm__frame_state *state)
{
    walk->state = *state;
    walk->count = walk->own_count = 0;
    walk->depth_max = depth_max;
    walk->is_interrupted = walk->has_signal = walk->ends_in_zero = false;
}

/* What the fast walk could not finish. */
static __attribute__((noinline)) uint32_t capture_slowly(struct bmm__walk *walk, const struct bmm__frame_state *state,
                                                         enum bmm__walk_end end)
{
    if (end == BMM__WALK_HARD)
        end = bmm__walk_full(walk, state);
    bool is_whole;
    if (end == BMM__WALK_CUT && walk->count - walk->own_count < walk->depth_max &&
        bmm__fallback_walk(walk, state, &is_whole) && is_whole)
        end = BMM__WALK_WHOLE;
    return intern_all(walk, end != BMM__WALK_WHOLE);
}

static __attribute__((noinline)) uint32_t capture_alone(const struct bmm__frame_state *state)
{
    uint32_t taken = bmm__load_relaxed(&spares_taken), index;
    do {
        index = (uint32_t)__builtin_ctz(~taken);
        if (index >= SPARE_WALKS)
            return 0;
    } while (!bmm__cas_weak_acq_rel(&spares_taken, &taken, taken | 1u << index));
    struct bmm__walk *walk = &spare_walks[index];
    begin(walk, state);
    bmm__range_begin(&walk->range, state->sp);
    uint32_t joined;
    uint32_t id = capture_slowly(walk, state, bmm__walk_fast(walk, NULL, &joined));
    bmm__and_acq_rel(&spares_taken, ~(1u << index));
    return id;
}

static inline uint32_t capture_with(struct bmm__stack_memo *memo, const struct bmm__frame_state *state)
{
    uint32_t load_count = bmm__module_load_count();
    if (BMM__UNLIKELY(memo->load_count != load_count)) { /* V4 */
        for (uint32_t i = 0; i < BMM__MEMO_VIEWS; i++)
            memo->views[i].count = 0;
        memo->load_count = load_count;
    }
    struct bmm__memo_view *view = &memo->views[memo->last_view];
    if (BMM__UNLIKELY(state->sp - view->range.low >= view->range.high - view->range.low))
        view = bmm__memo_view_of(memo, state->sp);
    struct bmm__walk *walk = &memo->walk;
    begin(walk, state);
    walk->range = view->range;
    uint32_t joined = 0;
    enum bmm__walk_end end = bmm__walk_fast(walk, view, &joined);
    if (BMM__LIKELY(end == BMM__WALK_JOINED)) {
        const struct bmm__memo_frame *rest = &view->frames[joined];
        if (walk->count == 0)
            return rest->id;
        view->range = walk->range;
        if (BMM__UNLIKELY(rest->depth + walk->count - walk->own_count > depth_max))
            return intern_window(walk, view, joined);
        return bmm__memo_keep(memo, view, joined);
    }
    if (end == BMM__WALK_WHOLE && !walk->has_signal) {
        view->range = walk->range;
        return bmm__memo_keep(memo, view, 0);
    }
    if (!walk->has_signal)
        view->range = walk->range;
    return capture_slowly(walk, state, end);
}

__attribute__((noinline)) uint32_t bmm__stack_capture(struct bmm__stack_memo *memo)
{
    struct bmm__frame_state state;
    BMM__ARCH_CALLER_STATE(&state);
    if (BMM__UNLIKELY(!memo || memo->is_busy)) /* V5 */
        return capture_alone(&state);
    memo->is_busy = 1;
    bmm__compiler_fence();
    uint32_t id = capture_with(memo, &state);
    bmm__compiler_fence();
    memo->is_busy = 0;
    return id;
}

/* ---- life ---- */

/* Our own code is the module that this function is in, if that is a library of ours and not a program (or another
 * library) that we were linked into: there our functions cannot be told from its own by address. */
static void find_own_code(void)
{
    struct bmm__module module;
    bool is_certain;
    if (bmm__module_find((uintptr_t)&bmm__stack_capture, &module, &is_certain) && module.is_own_name) {
        bmm__walk_own_start = module.start;
        bmm__walk_own_bytes = module.end - module.start;
    }
}

void bmm__stack_open(unsigned wanted_depth)
{
    depth_max = wanted_depth < 1 ? 1 : wanted_depth > BMM__WALK_DEPTH_MAX ? BMM__WALK_DEPTH_MAX : wanted_depth;
    find_own_code();
}

void bmm__stack_want_fallback(bool is_wanted)
{
    wants_fallback = is_wanted;
}

void bmm__stack_start(void)
{
    bmm__module_start();
    if (bmm__walk_own_bytes == 0)
        find_own_code();
    if (wants_fallback)
        bmm__fallback_load();
}

void bmm__stack_modules_changed(void)
{
    bmm__module_changed();
    bmm__rules_forget();
}

void bmm__stack_fork_child(void)
{
    bmm__store_relaxed(&spares_taken, 0); /* those of threads that are gone */
    bmm__depot_fork_child();
    bmm__module_fork_child();
    bmm__fallback_forbid();
}
