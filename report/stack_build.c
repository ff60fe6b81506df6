#include "report/stack_build.h"

#include "report/fingerprint.h"
#include "report/role.h"
#include "report/words.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 1024 /* far beyond what is ever captured: only damaged files have more */

/* Those that have come since: the log only grows. */
static void add_modules(struct bmm__stack_build *build)
{
    struct bmm__cursor cursor = { 0 };
    struct bmm__module_record record;
    for (uint32_t i = 0; bmm__snapshot_next_module(build->snapshot, &cursor, &record); i++) {
        if (i < build->module_count)
            continue;
        build->modules =
            bmm__grow(build->modules, &build->module_capacity, (size_t)build->module_count + 1, sizeof *build->modules);
        build->modules[build->module_count++] =
            (struct bmm__loaded_module){ record.start, record.end, record.bias, record.epoch,
                                         bmm__symbolizer_module(build->symbolizer, record.path, record.build_id,
                                                                record.build_id_bytes) };
    }
}

void bmm__stack_build_open(struct bmm__stack_build *build, const struct bmm__snapshot *snapshot,
                           struct bmm__symbolizer *symbolizer, struct bmm__arena *arena)
{
    *build = (struct bmm__stack_build){ .snapshot = snapshot, .symbolizer = symbolizer, .arena = arena };
    build->nodes = bmm__must_zero(snapshot->range_count, sizeof *build->nodes);
    build->range_count = snapshot->range_count;
    add_modules(build);
}

void bmm__stack_build_free(struct bmm__stack_build *build)
{
    for (uint32_t i = 0; i < build->range_count; i++)
        free(build->nodes[i]);
    free(build->nodes);
    free(build->frames);
    free(build->modules);
    bmm__map_free(&build->addresses);
    free(build->chains);
    free(build->lone);
    bmm__map_free(&build->ids);
    free(build->stacks);
    bmm__map_free(&build->named);
    free(build->names);
    *build = (struct bmm__stack_build){ 0 };
}

/* Segments of the depot come in the order of their ids. */
static bool has_nodes_of(const struct bmm__snapshot *later, const struct bmm__snapshot *before)
{
    if (later->range_count < before->range_count)
        return false;
    for (uint32_t i = 0; i < before->range_count; i++)
        if (later->ranges[i].first != before->ranges[i].first || later->ranges[i].count != before->ranges[i].count)
            return false;
    return true;
}

static uint32_t count_modules(const struct bmm__snapshot *snapshot)
{
    struct bmm__cursor cursor = { 0 };
    struct bmm__module_record record;
    uint32_t count = 0;
    while (bmm__snapshot_next_module(snapshot, &cursor, &record))
        count++;
    return count;
}

bool bmm__stack_build_continue(struct bmm__stack_build *build, const struct bmm__snapshot *snapshot)
{
    uint32_t module_count = count_modules(snapshot);
    if (build->has_gaps || !has_nodes_of(snapshot, build->snapshot) || module_count < build->module_count ||
        (build->has_strays && module_count != build->module_count))
        return false;
    uint32_t **nodes = bmm__must_zero(snapshot->range_count, sizeof *nodes);
    if (build->range_count > 0)
        memcpy(nodes, build->nodes, build->range_count * sizeof *nodes);
    free(build->nodes);
    build->nodes = nodes;
    build->range_count = snapshot->range_count;
    build->snapshot = snapshot;
    add_modules(build);
    return true;
}

/* The module with the epoch of the stack's node. Where there is none (the log was full), the latest at the address; NULL for code that no
 * file holds, whatever was loaded there. */
static const struct bmm__loaded_module *module_at(const struct bmm__stack_build *build, uint64_t address,
                                                  uint32_t epoch)
{
    const struct bmm__loaded_module *latest = NULL;
    if (epoch == BMM_STACK_NO_MODULE)
        return NULL;
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

static bool is_own(const struct bmm__frame *frame)
{
    return frame->role == BMM_ROLE_ALLOCATOR || (frame->function != NULL && strncmp(frame->function, "bmm__", 5) == 0);
}

#define LONE_IS_SYSTEM ((uintptr_t)1)

/* Most chains are one frame alone that stays in every stack: its address, with LONE_IS_SYSTEM where it is. 0: any other chain. */
static uintptr_t lone_of(const struct bmm__chain *chain)
{
    if (chain->count != 1 || is_own(chain->frames[0]))
        return 0;
    return (uintptr_t)chain->frames[0] | (bmm__frame_is_system(chain->frames[0]) ? LONE_IS_SYSTEM : 0);
}

/* A return address may belong to the next function already (the call of a function that does not return can be the
 * last instruction), so the byte before it is looked up. */
static uint32_t chain_at(struct bmm__stack_build *build, uint64_t pc, bool is_exact)
{
    bool is_new;
    uint32_t index = bmm__map_put(&build->addresses, pc, is_exact, build->chain_count, &is_new);
    if (!is_new && build->chains[index].chain.count == 0) { /* put off */
        struct bmm__located_chain *put_off = &build->chains[index];
        put_off->chain = bmm__symbolizer_frames(build->symbolizer, put_off->module, put_off->address);
        build->lone[index] = lone_of(&put_off->chain);
    } else if (is_new) {
        uint64_t address = BMM_STACK_ADDRESS(pc) - (is_exact ? 0 : 1);
        const struct bmm__loaded_module *module = module_at(build, address, BMM_STACK_EPOCH(pc));
        struct bmm__located_chain made = { .module = BMM__NO_MODULE, .address = address };
        build->has_strays |=
            module == NULL ? BMM_STACK_EPOCH(pc) != BMM_STACK_NO_MODULE : module->epoch != BMM_STACK_EPOCH(pc);
        if (module != NULL) {
            made.module = module->number;
            made.address = address - module->bias;
        }
        made.chain = bmm__symbolizer_frames(build->symbolizer, made.module, made.address);
        build->chains =
            bmm__grow(build->chains, &build->chain_capacity, (size_t)build->chain_count + 1, sizeof *build->chains);
        build->lone =
            bmm__grow(build->lone, &build->lone_capacity, (size_t)build->chain_count + 1, sizeof *build->lone);
        build->lone[build->chain_count] = lone_of(&made.chain);
        build->chains[build->chain_count++] = made;
    }
    return index;
}

/* The same place once more is the rule: most stacks have most of their nodes in common. */
static uint32_t *known_of(struct bmm__stack_build *build, const struct bmm__stack_node *node)
{
    uint32_t **nodes = &build->nodes[node->range - build->snapshot->ranges];
    if (*nodes == NULL)
        *nodes = bmm__must_zero(node->range->count, sizeof **nodes);
    return &(*nodes)[node->place];
}

/* A stack while it is made. */
struct making {
    uint32_t count; /* of build->frames */
    bool is_exact;  /* a signal came next: the node's address is where the frame was, not where it returns to */
    bool is_truncated;
    bool is_put_off;      /* a node's frames were */
    bool is_below_system; /* its outermost frame so far is the system's */
};

static void add_frames(struct bmm__stack_build *build, struct making *stack, uint32_t index, bool is_outermost)
{
    const struct bmm__located_chain *located = &build->chains[index];
    if (is_outermost || stack->is_below_system)
        bmm__symbolizer_find_callee(build->symbolizer, located->module, located->address);
    const struct bmm__chain *chain = &located->chain;
    uint32_t count = stack->count;
    build->frames =
        bmm__grow(build->frames, &build->frame_capacity, (size_t)count + chain->count, sizeof *build->frames);
    for (uint32_t i = 0; i < chain->count; i++)
        if (count > 0 || !is_own(chain->frames[i]))
            build->frames[count++] = chain->frames[i];
    stack->count = count;
    stack->is_below_system = count > 0 && bmm__frame_is_system(build->frames[count - 1]);
}

/* What add_node comes to for most nodes. False: nothing was done. */
static inline bool add_lone_frame(struct bmm__stack_build *build, struct making *stack,
                                  const struct bmm__stack_node *node)
{
    const uint32_t *nodes = build->nodes[node->range - build->snapshot->ranges];
    uint32_t known = nodes != NULL ? nodes[node->place] : 0;
    uintptr_t lone = known != 0 ? build->lone[known - 1] : 0;
    if (lone == 0 || stack->is_exact || stack->is_below_system || node->parent == 0 ||
        stack->count == build->frame_capacity)
        return false;
    build->frames[stack->count++] = (const struct bmm__frame *)(lone & ~LONE_IS_SYSTEM);
    stack->is_below_system = (lone & LONE_IS_SYSTEM) != 0;
    return true;
}

/* False: it cannot be said what the node stands for. */
static bool add_node(struct bmm__stack_build *build, struct making *stack, const struct bmm__stack_node *node)
{
    uint32_t *known = known_of(build, node);
    if (*known != 0 && !stack->is_exact) {
        add_frames(build, stack, *known - 1, node->parent == 0);
        return true;
    }
    uint64_t pc = bmm__snapshot_site(build->snapshot, node->site);
    if (pc == 0)
        return false;
    stack->is_truncated |= BMM_STACK_ADDRESS(pc) == BMM_STACK_TRUNCATED;
    stack->is_exact |= BMM_STACK_ADDRESS(pc) == BMM_STACK_SIGNAL;
    if (BMM_STACK_ADDRESS(pc) <= BMM_STACK_SIGNAL)
        return true;
    uint32_t index = chain_at(build, pc, stack->is_exact);
    stack->is_put_off = build->chains[index].chain.count == 0;
    if (stack->is_put_off)
        return false;
    if (!stack->is_exact) /* in another stack the same node may be one that returns */
        *known = index + 1;
    add_frames(build, stack, index, node->parent == 0);
    stack->is_exact = false;
    return true;
}

/* NULL: it is put off. */
static const struct bmm__stack *make_stack(struct bmm__stack_build *build, uint32_t id)
{
    struct making made = { 0 };
    struct bmm__stack_node node = { 0 };
    for (uint32_t steps = 0; id != 0; id = node.parent) {
        if (!bmm__snapshot_stack_node(build->snapshot, id, &node) || ++steps > STEPS_MAX ||
            (!add_lone_frame(build, &made, &node) && !add_node(build, &made, &node))) {
            if (made.is_put_off)
                return NULL;
            made.is_truncated = build->has_gaps = true;
            break;
        }
    }
    struct bmm__stack *stack = bmm__arena_alloc(build->arena, sizeof *stack);
    const struct bmm__frame **kept = bmm__arena_alloc(build->arena, made.count * sizeof *kept);
    if (made.count > 0)
        memcpy(kept, build->frames, made.count * sizeof *kept);
    *stack = (struct bmm__stack){ kept, made.count, made.is_truncated };
    return stack;
}

/* NULL: it is put off. */
static const struct bmm__stack *find_stack(struct bmm__stack_build *build, uint32_t id)
{
    if (id == 0)
        return &bmm__no_stack;
    bool is_new;
    uint32_t index = bmm__map_put(&build->ids, id, 0, build->stack_count, &is_new);
    if (is_new) {
        build->stacks =
            bmm__grow(build->stacks, &build->stack_capacity, (size_t)build->stack_count + 1, sizeof *build->stacks);
        build->stacks[build->stack_count++] = NULL;
    }
    if (build->stacks[index] == NULL)
        build->stacks[index] = make_stack(build, id);
    return build->stacks[index];
}

const struct bmm__stack *bmm__stack_build_get(struct bmm__stack_build *build, uint32_t id)
{
    const struct bmm__stack *stack = find_stack(build, id);
    return stack != NULL ? stack : &bmm__no_stack;
}

bool bmm__stack_build_try(struct bmm__stack_build *build, uint32_t id)
{
    return find_stack(build, id) != NULL;
}

struct bmm__leak_name bmm__stack_build_name(struct bmm__stack_build *build, uint32_t id, uint32_t kind,
                                            struct bmm__strings *strings)
{
    bool is_new;
    uint32_t index = bmm__map_put(&build->named, id, kind, build->name_count, &is_new);
    if (is_new) {
        const struct bmm__stack *stack = bmm__stack_build_get(build, id);
        char fingerprint[BMM__FINGERPRINT_BYTES];
        bmm__fingerprint(fingerprint, bmm__word_alloc_kind(kind), stack);
        build->names =
            bmm__grow(build->names, &build->name_capacity, (size_t)build->name_count + 1, sizeof *build->names);
        build->names[build->name_count++] =
            (struct bmm__leak_name){ bmm__intern_bytes(strings, fingerprint, strlen(fingerprint)),
                                     bmm__stack_key(stack, BMM__HASH_SEED + kind) };
    }
    return build->names[index];
}
