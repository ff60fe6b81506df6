/* The full walk (see stack_walk.h): all registers, by the unwind tables themselves, beginning in this very function.
 * Knows how to apply a row to registers; rows are read in stack_cfi.c, expressions in stack_expression.c. */
#include "stack_walk.h"

#include "module.h"
#include "stack_cfi.h"
#include "stack_code.h"
#include "stack_expression.h"
#include "stack_rules.h"

#define STEPS_MAX 1024 /* frames passed, stored or not */

/* A register that the caller is known to have back when the callee returns, or that nothing has changed. */
static bool apply(const struct bmm__module *module, const struct bmm__cfi_row *row, unsigned number, uintptr_t cfa,
                  const struct bmm__registers *now, uintptr_t *value)
{
    int64_t said = row->value[number];
    uintptr_t address;
    switch ((enum bmm__cfi_how)row->how[number]) {
    case BMM__CFI_UNSAID:
        *value = number == BMM__ARCH_SP ? cfa : now->value[number];
        return number == BMM__ARCH_SP || now->is_known[number];
    case BMM__CFI_SAME:
        *value = now->value[number];
        return now->is_known[number];
    case BMM__CFI_UNDEFINED:
        return false;
    case BMM__CFI_OFFSET:
        return bmm__memory_read(cfa + (uintptr_t)said, value);
    case BMM__CFI_VALUE_OFFSET:
        *value = cfa + (uintptr_t)said;
        return true;
    case BMM__CFI_REGISTER:
        *value = said >= 0 && said < BMM__ARCH_REGISTERS ? now->value[said] : 0;
        return said >= 0 && said < BMM__ARCH_REGISTERS && now->is_known[said];
    case BMM__CFI_EXPRESSION:
        return bmm__expression_value(bmm__cfi_expression(module, said), now, true, cfa, &address) &&
               bmm__memory_read(address, value);
    case BMM__CFI_VALUE_EXPRESSION:
        return bmm__expression_value(bmm__cfi_expression(module, said), now, true, cfa, value);
    }
    return false;
}

static bool find_cfa(const struct bmm__module *module, const struct bmm__cfi_row *row, const struct bmm__registers *now,
                     uintptr_t *cfa)
{
    if (row->is_cfa_expression)
        return bmm__expression_value(bmm__cfi_expression(module, row->cfa_value), now, false, 0, cfa);
    *cfa = now->value[row->cfa_register] + (uintptr_t)row->cfa_value;
    return now->is_known[row->cfa_register];
}

static void enter_context(struct bmm__walk *walk, struct bmm__registers *registers)
{
    bmm__arch_read_context(walk->state.sp, registers->value);
    for (unsigned i = 0; i <= BMM__ARCH_REGISTERS; i++)
        registers->is_known[i] = true;
}

/* Makes registers those of the caller. False: that cannot be known; *is_end: because there is none. */
static bool step(struct bmm__walk *walk, const struct bmm__module *module, const struct bmm__cfi_row *row,
                 struct bmm__registers *registers, bool *is_end)
{
    struct bmm__registers caller;
    uintptr_t cfa, ra;
    *is_end = row->how[BMM__ARCH_RA] == BMM__CFI_UNDEFINED;
    if (*is_end || !find_cfa(module, row, registers, &cfa) || !apply(module, row, BMM__ARCH_RA, cfa, registers, &ra))
        return false;
    for (unsigned i = 0; i < BMM__ARCH_REGISTERS; i++)
        caller.is_known[i] = apply(module, row, i, cfa, registers, &caller.value[i]);
    caller.value[BMM__ARCH_PC] = row->is_signal_frame ? ra : BMM__ARCH_RA_CODE(ra);
    caller.is_known[BMM__ARCH_PC] = true;
    /* W2. Where calls put nothing on the stack, a function without a frame of its own can be interrupted, not called from. */
    uintptr_t frame_min = walk->is_interrupted ? BMM__ARCH_FRAME_MIN : sizeof(uintptr_t);
    if (!caller.is_known[BMM__ARCH_SP] ||
        (!row->is_signal_frame && (cfa < walk->state.sp || cfa - walk->state.sp < frame_min)))
        return false;
    *registers = caller;
    return true;
}

__attribute__((noinline)) enum bmm__walk_end bmm__walk_full(struct bmm__walk *walk,
                                                            const struct bmm__frame_state *start)
{
    struct bmm__registers registers;
    memset(&registers, 0, sizeof registers);
    BMM__ARCH_ALL_REGISTERS(registers.value);
    bmm__arch_mark_kept(registers.is_known);
    bool has_started = false;
    walk->count = walk->own_count = 0;
    walk->is_interrupted = true; /* the pc read above is where we are, not where someone returns to */
    walk->has_signal = walk->ends_in_zero = false;
    for (unsigned steps = 0; steps < STEPS_MAX; steps++) {
        walk->state.pc = registers.value[BMM__ARCH_PC];
        walk->state.sp = registers.value[BMM__ARCH_SP];
        walk->state.fp = registers.value[BMM__ARCH_FP];
        if (walk->state.pc == 0) {
            walk->ends_in_zero = true;
            return has_started ? BMM__WALK_WHOLE : BMM__WALK_CUT;
        }
        has_started = has_started || (walk->state.pc == start->pc && walk->state.sp == start->sp);
        struct bmm__module module;
        struct bmm__cfi_row row;
        bool is_certain, is_end;
        uintptr_t address = walk->state.pc - !walk->is_interrupted;
        bool is_in_module = bmm__module_find(address, &module, &is_certain);
        enum bmm__cfi_result result = is_in_module ? bmm__cfi_row_at(&module, address, &row) : BMM__CFI_NO_TABLE;
        bool is_signal = result == BMM__CFI_FOUND ? row.is_signal_frame : bmm__rule_is_trampoline(walk->state.pc);
        if (is_signal) {
            uintptr_t sp = walk->state.sp;
            if (has_started && !bmm__walk_store_signal(walk))
                return BMM__WALK_CUT;
            if (bmm__rule_is_trampoline(walk->state.pc)) { /* its own tables say the same, but musl has none */
                if (!bmm__walk_change_stack(walk, sp) ||
                    !bmm__range_reach(&walk->range, sp, sp + BMM__ARCH_CONTEXT_BYTES))
                    return BMM__WALK_CUT;
                enter_context(walk, &registers);
            } else if (result != BMM__CFI_FOUND || !step(walk, &module, &row, &registers, &is_end))
                return BMM__WALK_CUT;
            walk->is_interrupted = true;
            continue;
        }
        if (has_started && (is_in_module || walk->count == walk->own_count) && /* W4 */
            !bmm__walk_store(walk, bmm__rule_find(address)))
            return BMM__WALK_CUT;
        if (!is_in_module)
            return BMM__WALK_CUT;
        if (result == BMM__CFI_NO_TABLE && !walk->is_interrupted)
            result = bmm__code_row_at(&module, address, &row);
        if (result != BMM__CFI_FOUND)
            return BMM__WALK_CUT;
        if (!step(walk, &module, &row, &registers, &is_end))
            return is_end && has_started ? BMM__WALK_WHOLE : BMM__WALK_CUT;
        walk->is_interrupted = false;
    }
    return BMM__WALK_CUT;
}
