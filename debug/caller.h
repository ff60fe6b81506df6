/* Who calls: found out once per call, before any lock, and handed on. The stack begins with the caller of the function that
 * bmm__caller_of_alloc and _of_free are used in. */
#ifndef BMM_CALLER_H
#define BMM_CALLER_H

#include "options.h"
#include "process.h"
#include "stack.h"
#include "thread.h"

#include "core/assert.h"

struct bmm__caller {
    struct bmm__thread *thread; /* NULL: none to be had */
    uint32_t stack;
    bool is_settled;
};

static inline __attribute__((always_inline)) uint32_t bmm__caller_stack(const struct bmm__thread *thread)
{
    struct bmm__frame_state state;
    BMM__ARCH_CALLER_STATE(&state);
    return bmm__stack_capture_from(thread != NULL ? thread->memo : NULL, state.pc, state.sp, state.fp);
}

static inline __attribute__((always_inline)) struct bmm__caller bmm__caller_of_alloc(void)
{
    struct bmm__caller caller = { .is_settled = bmm__process_is_settled(), .thread = bmm__thread_current() };
    if (BMM__LIKELY(caller.is_settled))
        caller.stack = bmm__caller_stack(caller.thread);
    return caller;
}

/* For free: does not make a forked child settle, since most of them only clean up and exec. */
static inline __attribute__((always_inline)) struct bmm__caller bmm__caller_of_free(void)
{
    struct bmm__caller caller = { .is_settled =
                                      bmm__load_acquire(&bmm__recorder_process->state) != BMM__RECORDER_UNSETTLED,
                                  .thread = bmm__thread_current() };
    if (caller.is_settled && bmm__options.mode == BMM_MODE_CHECK)
        caller.stack = bmm__caller_stack(caller.thread);
    return caller;
}

/* Under leak a free has no stack; an error is worth one. */
static inline void bmm__caller_complete_stack(struct bmm__caller *caller)
{
    if (caller->stack == 0 && bmm__process_is_settled()) {
        caller->is_settled = true;
        caller->stack = bmm__stack_capture(caller->thread != NULL ? caller->thread->memo : NULL);
    }
}

#endif
