/* What a stack is according to libunwind's unw_step, frame by frame, and according to the depot. libunwind is loaded
 * at run time, so that a test program needs nothing at link time. (On other machines than x86-64, and with musl: libgcc's unwinder.) */
#ifndef STACK_ORACLE_H
#define STACK_ORACLE_H

#include <stdint.h>
#include <stdio.h>

#if defined(__x86_64__) && defined(__GLIBC__)
#define HAS_LIBUNWIND
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#else
#include <unwind.h>
#endif

#include "brainmm/snapshot.h"
#include "debug/stack.h"

#include <dlfcn.h>
#include <stdbool.h>

#define ORACLE_FRAMES 400

#ifdef HAS_LIBUNWIND

struct oracle {
    int (*get_context)(unw_context_t *);
    int (*init)(unw_cursor_t *, unw_context_t *);
    int (*step)(unw_cursor_t *);
    int (*get_register)(unw_cursor_t *, int, unw_word_t *);
    int (*is_signal)(unw_cursor_t *);
};
static struct oracle oracle;

#define ORACLE_NAME_(prefix, name) #prefix #name
#define ORACLE_NAME(name) ORACLE_NAME_(_ULx86_64_, name)

static inline bool oracle_open(void)
{
    void *library = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return false;
    *(void **)&oracle.get_context = dlsym(library, "_Ux86_64_getcontext");
    *(void **)&oracle.init = dlsym(library, "_ULx86_64_init_local");
    *(void **)&oracle.step = dlsym(library, "_ULx86_64_step");
    *(void **)&oracle.get_register = dlsym(library, "_ULx86_64_get_reg");
    *(void **)&oracle.is_signal = dlsym(library, "_ULx86_64_is_signal_frame");
    return oracle.get_context && oracle.init && oracle.step && oracle.get_register && oracle.is_signal;
}

/* Frames of the function it is used in and of those outside it, the trampoline's as BMM_STACK_SIGNAL: libunwind calls
 * the frame that was interrupted a signal frame, and the trampoline is the one before. */
#define ORACLE_STACK(pcs, count) \
    do { \
        unw_context_t context_; \
        unw_cursor_t cursor_; \
        oracle.get_context(&context_); \
        oracle.init(&cursor_, &context_); \
        (count) = 0; \
        do { \
            unw_word_t pc_; \
            oracle.get_register(&cursor_, UNW_REG_IP, &pc_); \
            if (pc_ == 0) \
                break; \
            if (oracle.is_signal(&cursor_) > 0 && (count) > 0) \
                (pcs)[(count)-1] = BMM_STACK_SIGNAL; \
            (pcs)[(count)++] = pc_; \
        } while ((count) < ORACLE_FRAMES && oracle.step(&cursor_) > 0); \
    } while (0)

#else /* other machines' compilers come without libunwind: libgcc's, the one that exceptions are thrown by */

struct oracle_stack {
    uintptr_t *pcs;
    int count;
};

static inline bool oracle_open(void)
{
    return true;
}

static inline _Unwind_Reason_Code oracle_add(struct _Unwind_Context *context, void *argument)
{
    struct oracle_stack *stack = argument;
    int is_interrupted = 0;
    uintptr_t pc = _Unwind_GetIPInfo(context, &is_interrupted);
    if (pc == 0 || stack->count == ORACLE_FRAMES)
        return _URC_END_OF_STACK;
    if (is_interrupted && stack->count > 0)
        stack->pcs[stack->count - 1] = BMM_STACK_SIGNAL;
    stack->pcs[stack->count++] = pc;
    return _URC_NO_REASON;
}

#define ORACLE_STACK(pcs_, count_) \
    do { \
        struct oracle_stack stack_ = { (pcs_), 0 }; \
        _Unwind_Backtrace(oracle_add, &stack_); \
        (count_) = stack_.count; \
    } while (0)

#endif

/* Addresses of a depot stack; *is_cut: its root is BMM_STACK_TRUNCATED, which is not counted. */
static inline int depot_stack(uint32_t id, uintptr_t *pcs, bool *is_cut)
{
    int count = 0;
    uintptr_t pc;
    *is_cut = false;
    while (id != 0 && count < ORACLE_FRAMES && bmm__depot_node(id, &pc, &id)) {
        if (pc == BMM_STACK_TRUNCATED)
            *is_cut = true;
        else
            pcs[count++] = (uintptr_t)BMM_STACK_ADDRESS(pc);
    }
    return count;
}

/* Compares the frames outside the calling function (its own pc differs between the two captures). */
static inline bool stacks_equal(const uintptr_t *expected, int expected_count, uint32_t id, bool may_be_cut)
{
    uintptr_t found[ORACLE_FRAMES];
    bool is_cut;
    int count = depot_stack(id, found, &is_cut);
    bool is_equal =
        may_be_cut ? count <= expected_count && is_cut == (count < expected_count) : !is_cut && count == expected_count;
    for (int i = 1; i < count && i < expected_count; i++)
        is_equal = is_equal && found[i] == expected[i];
    if (!is_equal) {
        printf("expected %d frames, found %d%s\n", expected_count, count, is_cut ? ", cut" : "");
        for (int i = 0; i < expected_count || i < count; i++)
            printf("  %2d  %16lx  %16lx\n", i, i < expected_count ? expected[i] : 0, i < count ? found[i] : 0);
    }
    return is_equal;
}

#endif
