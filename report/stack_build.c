#include "report/stack_build.h"

#include "report/role.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 1024 /* far beyond what is ever captured: only damaged files have more */

void bmm__stack_build_open(struct bmm__stack_build *build, const struct bmm__snapshot *snapshot,
                           struct bmm__symbolizer *symbolizer, struct bmm__arena *arena)
{
    *build = (struct bmm__stack_build){ .snapshot = snapshot, .symbolizer = symbolizer, .arena = arena };
    struct bmm__cursor cursor = { 0 };
    struct bmm__module_record record;
    while (bmm__snapshot_next_module(snapshot, &cursor, &record)) {
        build->modules =
            bmm__grow(build->modules, &build->module_capacity, (size_t)build->module_count + 1, sizeof *build->modules);
        build->modules[build->module_count++] =
            (struct bmm__loaded_module){ record.start, record.end, record.bias, record.epoch,
                                         bmm__symbolizer_module(symbolizer, record.path, record.build_id,
                                                                record.build_id_bytes) };
    }
}

void bmm__stack_build_free(struct bmm__stack_build *build)
{
    free(build->modules);
    bmm__map_free(&build->addresses);
    free(build->chains);
    bmm__map_free(&build->ids);
    free(build->stacks);
    *build = (struct bmm__stack_build){ 0 };
}

/* The module with the epoch of the stack's node. Where there is none (the log was full), the latest at the address. */
static const struct bmm__loaded_module *module_at(const struct bmm__stack_build *build, uint64_t address,
                                                  uint32_t epoch)
{
    const struct bmm__loaded_module *latest = NULL;
    for (uint32_t i = 0; i < build->module_count; i++) {
        const struct bmm__loaded_module *module = &build->modules[i];
        if (address < module->start || address >= module->end)
            continue;
        if (module->epoch == epoch)
            return module;
        if (latest == NULL || module->epoch > latest->epoch)
            latest = module;
    }
    return latest;
}

const char *bmm__stack_build_type(const struct bmm__stack_build *build, uint64_t word)
{
    uint64_t address = BMM_STACK_ADDRESS(word);
    const struct bmm__loaded_module *module = module_at(build, address, BMM_STACK_EPOCH(word));
    return module != NULL ? bmm__symbolizer_type(build->symbolizer, module->number, address - module->bias) : NULL;
}

/* A return address may belong to the next function already (the call of a function that does not return can be the
 * last instruction), so the byte before it is looked up. */
static struct bmm__chain frames_at(struct bmm__stack_build *build, uint64_t pc, bool is_exact, bool wants_callee)
{
    bool is_new;
    uint32_t index = bmm__map_put(&build->addresses, pc, is_exact, build->chain_count, &is_new);
    if (is_new) {
        uint64_t address = BMM_STACK_ADDRESS(pc) - (is_exact ? 0 : 1);
        const struct bmm__loaded_module *module = module_at(build, address, BMM_STACK_EPOCH(pc));
        struct bmm__located_chain made = { .module = BMM__NO_MODULE, .address = address };
        if (module != NULL) {
            made.module = module->number;
            made.address = address - module->bias;
        }
        made.chain = bmm__symbolizer_frames(build->symbolizer, made.module, made.address);
        build->chains =
            bmm__grow(build->chains, &build->chain_capacity, (size_t)build->chain_count + 1, sizeof *build->chains);
        build->chains[build->chain_count++] = made;
    }
    const struct bmm__located_chain *located = &build->chains[index];
    if (wants_callee)
        bmm__symbolizer_find_callee(build->symbolizer, located->module, located->address);
    return located->chain;
}

static bool is_own(const struct bmm__frame *frame)
{
    return frame->role == BMM_ROLE_ALLOCATOR || (frame->function != NULL && strncmp(frame->function, "bmm__", 5) == 0);
}

static const struct bmm__stack *make_stack(struct bmm__stack_build *build, uint32_t id)
{
    const struct bmm__frame **frames = NULL;
    uint32_t count = 0, capacity = 0, steps = 0;
    bool is_exact = false, is_truncated = false;
    struct bmm__stack_node node;
    for (; id != 0; id = node.parent) {
        if (!bmm__snapshot_stack_node(build->snapshot, id, &node) || ++steps > STEPS_MAX) {
            is_truncated = true;
            break;
        }
        if (BMM_STACK_ADDRESS(node.pc) == BMM_STACK_TRUNCATED)
            is_truncated = true;
        if (BMM_STACK_ADDRESS(node.pc) == BMM_STACK_SIGNAL)
            is_exact = true;
        if (BMM_STACK_ADDRESS(node.pc) <= BMM_STACK_SIGNAL)
            continue;
        bool wants_callee = node.parent == 0 || (count > 0 && bmm__frame_is_system(frames[count - 1]));
        struct bmm__chain chain = frames_at(build, node.pc, is_exact, wants_callee);
        is_exact = false;
        frames = bmm__grow(frames, &capacity, (size_t)count + chain.count, sizeof *frames);
        for (uint32_t i = 0; i < chain.count; i++)
            if (count > 0 || !is_own(chain.frames[i]))
                frames[count++] = chain.frames[i];
    }
    struct bmm__stack *stack = bmm__arena_alloc(build->arena, sizeof *stack);
    const struct bmm__frame **kept = bmm__arena_alloc(build->arena, count * sizeof *kept);
    if (count > 0)
        memcpy(kept, frames, count * sizeof *kept);
    free(frames);
    *stack = (struct bmm__stack){ kept, count, is_truncated };
    return stack;
}

const struct bmm__stack *bmm__stack_build_get(struct bmm__stack_build *build, uint32_t id)
{
    if (id == 0)
        return &bmm__no_stack;
    bool is_new;
    uint32_t index = bmm__map_put(&build->ids, id, 0, build->stack_count, &is_new);
    if (is_new) {
        build->stacks =
            bmm__grow(build->stacks, &build->stack_capacity, (size_t)build->stack_count + 1, sizeof *build->stacks);
        build->stacks[build->stack_count++] = make_stack(build, id);
    }
    return build->stacks[index];
}
