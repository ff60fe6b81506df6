/* See stack.h. Puts the parts together: one capture is
 *
 *   the caller's state ──► fast walk ──► met the memo ───────────────► id of the rest, known ──► ids of what is inside
 *                           │  └───────► reached the end ────────────► remembered whole          it, from the depot
 *                           ├──────────► a frame that is hard ► full walk ┐
 *                           └──────────► cut ─────────────────────────────┴► ids from the depot; remembered if it is deep
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

#include <errno.h>

#define SPARE_WALKS 8
#define TRIES_MAX 4u /* frames of the memo with the same pc and sp that are tried before it is walked */

static uint32_t depth_max = 64;
static bool wants_fallback;

/* For captures without a memo, or that interrupted one with it: a walk does not fit on every signal stack. */
static struct bmm__walk spare_walks[SPARE_WALKS];
static uint32_t spares_taken; /* bit i: spare_walks[i] is */

/* ---- ids ---- */

static void add(struct bmm__walk *walk, uint32_t *count, uint64_t *hash, uintptr_t pc)
{
    *hash = bmm__depot_hash(*hash, pc);
    walk->to_intern[(*count)++] = (struct bmm__depot_frame){ pc, *hash, 0, 0 };
}

/* The id of a walk's stack, by look-up from its outermost frame on. is_cut: there are more than the walk has. */
static uint32_t intern_all(struct bmm__walk *walk, bool is_cut)
{
    uint32_t end = walk->count;
    if (end - walk->own_count > depth_max) {
        end = walk->own_count + depth_max;
        is_cut = true;
    }
    uint64_t hash = 0;
    uint32_t count = 0;
    if (is_cut)
        add(walk, &count, &hash, BMM_STACK_TRUNCATED);
    for (uint32_t i = end; i-- > walk->own_count;)
        add(walk, &count, &hash, bmm__walk_node_pc(walk->frames[i].pc, walk->frames[i].word));
    bmm__depot_intern(0, walk->to_intern, count);
    return count == 0 ? 0 : walk->to_intern[count - 1].id;
}

/* The id of what was walked and the memo's chain from `joined` on (0: none), by look-up from its outermost frame on. Uses up the
 * walk. */
static __attribute__((noinline)) uint32_t intern_joined(struct bmm__stack_memo *memo, uint32_t joined, bool is_cut)
{
    struct bmm__walk *walk = &memo->walk;
    walk->depth_max = depth_max;
    while (joined != 0 && walk->count - walk->own_count < depth_max) {
        const struct bmm__memo_frame *frame = &memo->frames[joined];
        walk->state = (struct bmm__frame_state){ frame->pc, frame->sp, frame->fp };
        if (!bmm__walk_store(walk, bmm__rule_find(frame->pc - 1)))
            break;
        joined = joined == frame->run_first ? frame->run_outer : joined - 1;
        is_cut = frame->is_open;
    }
    return intern_all(walk, is_cut || joined != 0);
}

/* The id of a frame of the memo, whose chain was seen to hold as far as it matters. */
static uint32_t id_of(struct bmm__stack_memo *memo, uint32_t index)
{
    struct bmm__memo_frame *frame = &memo->frames[index];
    if (BMM__UNLIKELY(frame->id == 0)) { /* deep, or there was no room for it */
        memo->walk.count = memo->walk.own_count = 0;
        frame->id = intern_joined(memo, index, false);
    }
    uint32_t id = frame->id;
    if (!frame->is_answer && !frame->is_open && frame->depth <= depth_max && id != 0)
        bmm__memo_make_answer(memo, index);
    else if (frame->is_answer && frame->list_groups != 0) /* others came between */
        *bmm__memo_by_caller(memo, frame->pc, frame->sp, memo->listed[frame->list].value) = (uint16_t)index;
    return id;
}

/* ---- captures ---- */

static void begin(struct bmm__walk *walk, const struct bmm__frame_state *state, uint32_t frames_max)
{
    walk->state = *state;
    walk->count = walk->own_count = 0;
    walk->depth_max = frames_max;
    walk->id_depth = depth_max;
    walk->is_interrupted = walk->has_signal = walk->ends_in_zero = false;
}

/* What the fast walk could not finish. */
static __attribute__((noinline)) uint32_t capture_slowly(struct bmm__walk *walk, const struct bmm__frame_state *state,
                                                         enum bmm__walk_end end)
{
    walk->depth_max = depth_max;
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
    begin(walk, state, depth_max);
    bmm__range_begin(&walk->range, state->sp);
    uint32_t joined;
    uint32_t id = capture_slowly(walk, state, bmm__walk_fast(walk, NULL, &joined));
    bmm__and_acq_rel(&spares_taken, ~(1u << index));
    return id;
}

/* What was walked is kept on top of `joined`. */
static uint32_t keep(struct bmm__stack_memo *memo, uint32_t joined, bool is_open)
{
    const struct bmm__walk *walk = &memo->walk;
    if (walk->count == walk->own_count)
        return id_of(memo, joined);
    uint32_t kept = bmm__memo_keep(memo, joined, is_open);
    if (BMM__UNLIKELY(kept == 0)) /* what is forgotten is there until the next is kept */
        return intern_joined(memo, joined, is_open);
    return id_of(memo, kept);
}

/* Of a walk that ends in zero: whether that was read in the page that the outermost frame begins in. Further up it may be
 * anybody's memory (a hand-made coroutine's first frame has no place for a return address), and be gone when it is looked at
 * again. */
static bool ends_on_stack(const struct bmm__walk *walk)
{
    return walk->state.sp <= bmm__range_page_end(walk->frames[walk->count - 1].sp);
}

static __attribute__((noinline)) uint32_t capture_by_walk(struct bmm__stack_memo *memo,
                                                          const struct bmm__frame_state *state)
{
    struct bmm__walk *walk = &memo->walk;
    begin(walk, state, BMM__WALK_DEPTH_MAX);
    bmm__range_begin(&walk->range, state->sp);
    uint32_t joined = 0;
    enum bmm__walk_end end = bmm__walk_fast(walk, memo, &joined);
    if (walk->has_signal)
        return capture_slowly(walk, state, end);
    bool is_whole =
        end == BMM__WALK_WHOLE && walk->count != walk->own_count && (!walk->ends_in_zero || ends_on_stack(walk));
    if (BMM__LIKELY(end == BMM__WALK_JOINED || is_whole))
        return keep(memo, joined, false);
    bool is_deep = walk->count - walk->own_count >= depth_max && walk->state.sp > walk->frames[walk->count - 1].sp;
    if (is_deep && end != BMM__WALK_WHOLE)
        return keep(memo, 0, true);
    return capture_slowly(walk, state, end);
}

/* Out of this library's own frames, as far as they are plain: nobody asks the memo for them. */
static struct bmm__frame_state outside_own(struct bmm__frame_state state)
{
    while (state.pc - bmm__walk_own_start < bmm__walk_own_bytes) {
        uint64_t word = bmm__rule_find(state.pc - 1);
        if (BMM__RULE_KIND(word) != BMM__RULE_SP)
            break;
        uintptr_t cfa = state.sp + BMM__RULE_CFA(word), distance = BMM__RULE_FP_DISTANCE(word);
        state.pc = BMM__ARCH_RA_CODE(*(const uintptr_t *)(cfa + (uintptr_t)BMM__ARCH_RA_OFFSET(distance)));
        if (distance != 0)
            state.fp = *(const uintptr_t *)(cfa - distance);
        state.sp = cfa;
    }
    return state;
}

/* The id of the stack from a frame on. 0: the memo does not know it. */
static inline __attribute__((always_inline)) uint32_t find_answer(struct bmm__stack_memo *memo, uintptr_t pc,
                                                                  uintptr_t sp, uintptr_t fp)
{
    const struct bmm__memo_frame *frame = &memo->frames[memo->recent[bmm__memo_slot(pc, sp)]];
    if (!bmm__memo_is(frame, pc, sp, fp) || !frame->is_answer)
        return 0;
    if (BMM__LIKELY(bmm__memo_holds_list(memo, frame)))
        return frame->id;
    uintptr_t word = *memo->listed[frame->list].address;
    frame = &memo->frames[*bmm__memo_by_caller(memo, pc, sp, word)];
    for (uint32_t tries = TRIES_MAX; bmm__memo_is(frame, pc, sp, fp) && tries > 0; tries--) {
        if (BMM__LIKELY(frame->is_answer) && bmm__memo_holds_list(memo, frame))
            return frame->id;
        frame = &memo->frames[frame->like];
    }
    return 0;
}

/* Everything but the plain case of bmm__stack_capture_from. is_asked: the memo was, and does not know it. */
static __attribute__((noinline)) uint32_t capture_unknown(struct bmm__stack_memo *memo, uintptr_t pc, uintptr_t sp,
                                                          uintptr_t fp, bool is_asked)
{
    int saved_errno = errno; /* what is learned on the way may make the recorder grow */
    struct bmm__frame_state state = outside_own((struct bmm__frame_state){ pc, sp, fp });
    if (BMM__UNLIKELY(!memo || memo->is_busy)) { /* V5 */
        uint32_t alone = capture_alone(&state);
        errno = saved_errno;
        return alone;
    }
    memo->is_busy = 1;
    bmm__compiler_fence();
    uint32_t load_count = bmm__module_load_count();
    if (BMM__UNLIKELY(memo->load_count != load_count)) { /* V4 */
        bmm__memo_forget(memo);
        memo->load_count = load_count;
    }
    uint32_t id = is_asked ? 0 : find_answer(memo, state.pc, state.sp, state.fp);
    if (id == 0)
        id = capture_by_walk(memo, &state);
    bmm__compiler_fence();
    memo->is_busy = 0;
    errno = saved_errno;
    return id;
}

uint32_t bmm__stack_capture_from(struct bmm__stack_memo *memo, uintptr_t pc, uintptr_t sp, uintptr_t fp)
{
    if (BMM__LIKELY(memo && !memo->is_busy && memo->load_count == bmm__module_load_count() &&
                    pc - bmm__walk_own_start >= bmm__walk_own_bytes)) {
        memo->is_busy = 1; /* lest a signal handler change what is read */
        bmm__compiler_fence();
        uint32_t id = find_answer(memo, pc, sp, fp);
        bmm__compiler_fence();
        memo->is_busy = 0;
        return BMM__LIKELY(id != 0) ? id : capture_unknown(memo, pc, sp, fp, true);
    }
    return capture_unknown(memo, pc, sp, fp, false);
}

__attribute__((noinline)) uint32_t bmm__stack_capture(struct bmm__stack_memo *memo)
{
    struct bmm__frame_state state;
    BMM__ARCH_CALLER_STATE(&state);
    return bmm__stack_capture_from(memo, state.pc, state.sp, state.fp);
}

/* ---- life ---- */

/* Our own code is the module that this function is in, if that is a library of ours; in a program linked with our archive it
 * is a section, which the archive's objects have for theirs, and the linker gives its bounds. Otherwise our functions cannot be
 * told from others by address. */
extern const char __start_brainmm_text[] __attribute__((weak, visibility("hidden"))); /* NOLINT: the linker's names */
extern const char __stop_brainmm_text[] __attribute__((weak, visibility("hidden")));  /* NOLINT */
static void find_own_code(void)
{
    struct bmm__module module;
    bool is_certain;
    if (__start_brainmm_text != NULL) {
        bmm__walk_own_start = (uintptr_t)__start_brainmm_text;
        bmm__walk_own_bytes = (uintptr_t)__stop_brainmm_text - bmm__walk_own_start;
    } else if (bmm__module_find((uintptr_t)&bmm__stack_capture, &module, &is_certain) && module.is_own_name) {
        bmm__walk_own_start = module.start;
        bmm__walk_own_bytes = module.end - module.start;
    }
}

void bmm__stack_open(unsigned wanted_depth)
{
    depth_max = wanted_depth < 1 ? 1 : wanted_depth > BMM__WALK_DEPTH_MAX ? BMM__WALK_DEPTH_MAX : wanted_depth;
    find_own_code();
    bmm__depot_open();
}

void bmm__stack_want_fallback(bool is_wanted)
{
    wants_fallback = is_wanted;
}

void bmm__stack_modules_changed(void)
{
    bmm__module_changed();
    bmm__rules_forget();
    bmm__module_changed(); /* who captured in between emptied its memo, and filled it by the old rules */
}

void bmm__stack_start(void)
{
    if (bmm__module_start())
        bmm__stack_modules_changed();
    if (bmm__walk_own_bytes == 0)
        find_own_code();
    if (wants_fallback)
        bmm__fallback_load();
}

void bmm__stack_fork_child(void)
{
    bmm__store_relaxed(&spares_taken, 0); /* those of threads that are gone */
    bmm__depot_fork_child();
    bmm__module_fork_child();
    bmm__fallback_forbid();
}
