/* Stacks of one process: from ids in its snapshot to frames.
 *
 * Every address is looked up once per process, every stack id is walked once. Frames of BrainMM's own library on top
 * are left out. */
#ifndef BMM_REPORT_STACK_BUILD_H
#define BMM_REPORT_STACK_BUILD_H

#include "report/report.h"
#include "report/snapshot_read.h"
#include "report/symbol.h"

struct bmm__loaded_module {
    uint64_t start, end, bias;
    uint32_t epoch;
    uint32_t number; /* of the symbolizer */
};

struct bmm__located_chain {
    struct bmm__chain chain;
    uint32_t module; /* of the symbolizer, or BMM__NO_MODULE */
    uint64_t address;
};

struct bmm__stack_build {
    const struct bmm__snapshot *snapshot;
    struct bmm__symbolizer *symbolizer;
    struct bmm__arena *arena;
    struct bmm__loaded_module *modules;
    uint32_t module_count, module_capacity;
    struct bmm__map addresses; /* (address, exact) → chains */
    uint32_t **nodes; /* of each range of the snapshot: its nodes' chains + 1, for those that were met; or NULL */
    struct bmm__located_chain *chains;
    uint32_t chain_count, chain_capacity;
    uintptr_t *lone; /* of each chain: see stack_build.c */
    uint32_t lone_capacity;
    const struct bmm__frame **frames; /* of the stack that is being made */
    uint32_t frame_capacity;
    struct bmm__map ids; /* (stack id, 0) → stacks */
    const struct bmm__stack **stacks;
    uint32_t stack_count, stack_capacity;
    bool has_gaps; /* a node was not there: not yet, where the file is still written */
};

/* Reads the module log. All zero before; freed by _free, after which the stacks stay. */
void bmm__stack_build_open(struct bmm__stack_build *build, const struct bmm__snapshot *snapshot,
                           struct bmm__symbolizer *symbolizer, struct bmm__arena *arena);
/* What was made of the file while it was still written, goes on with another opening of the same file: nodes and modules never
 * change once they are there. False: segments of the depot or modules have come, or a node was missing; the build is as it was. */
bool bmm__stack_build_continue(struct bmm__stack_build *build, const struct bmm__snapshot *snapshot);
/* Never NULL; id 0 and ids that are not there give a stack without frames. */
const struct bmm__stack *bmm__stack_build_get(struct bmm__stack_build *build, uint32_t id);
/* The class whose table of virtual methods the address (with its module's epoch) is in; NULL: it is in none. */
const char *bmm__stack_build_type(const struct bmm__stack_build *build, uint64_t word);
void bmm__stack_build_free(struct bmm__stack_build *build);

#endif
