/* Stacks of one process: from ids in its snapshot to frames.
 *
 * Every address is looked up once per process, every stack id is walked once. Frames of BrainMM's own library on top
 * are left out. */
#ifndef BMM_REPORT_STACK_BUILD_H
#define BMM_REPORT_STACK_BUILD_H

#include "report/report.h"
#include "report/snapshot_read.h"
#include "report/stack_same.h"
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

/* What tells a leak of one kind with one stack from others. */
struct bmm__leak_name {
    const char *fingerprint; /* interned */
    struct bmm__stack_key key;
};

struct bmm__stack_build {
    const struct bmm__snapshot *snapshot;
    struct bmm__symbolizer *symbolizer;
    struct bmm__arena *arena;
    struct bmm__loaded_module *modules;
    uint32_t module_count, module_capacity;
    struct bmm__map addresses; /* (address, exact) → chains */
    uint32_t range_count;
    uint32_t **nodes; /* of each range of the snapshot: its nodes' chains + 1, for those that were met; or NULL */
    struct bmm__located_chain *chains;
    uint32_t chain_count, chain_capacity;
    uintptr_t *lone; /* of each chain: see stack_build.c */
    uint32_t lone_capacity;
    const struct bmm__frame **frames; /* of the stack that is being made */
    uint32_t frame_capacity;
    struct bmm__map ids;              /* (stack id, 0) → stacks */
    const struct bmm__stack **stacks; /* NULL: a frame of it was put off */
    uint32_t stack_count, stack_capacity;
    struct bmm__map named; /* (stack id, kind) → names */
    struct bmm__leak_name *names;
    uint32_t name_count, name_capacity;
    bool has_gaps;   /* a node was not there: not yet, where the file is still written */
    bool has_strays; /* an address was in no module of its epoch: not in one that is known yet, perhaps */
};

/* Reads the module log. All zero before; freed by _free, after which the stacks stay. */
void bmm__stack_build_open(struct bmm__stack_build *build, const struct bmm__snapshot *snapshot,
                           struct bmm__symbolizer *symbolizer, struct bmm__arena *arena);
/* What was made of the file while it was still written, goes on with a later opening of the same file: nodes and modules never
 * change once they are there. False: a node was missing, or an address may be in a module that has come since; the build is as it
 * was. */
bool bmm__stack_build_continue(struct bmm__stack_build *build, const struct bmm__snapshot *snapshot);
/* Never NULL; id 0 and ids that are not there give a stack without frames. */
const struct bmm__stack *bmm__stack_build_get(struct bmm__stack_build *build, uint32_t id);
/* The same where a modest symbolizer puts off what takes its time. False: it did, and nothing was made. */
bool bmm__stack_build_try(struct bmm__stack_build *build, uint32_t id);
/* Of leaks of that kind (enum bmm_alloc_kind) with that stack; strings are the report's. */
struct bmm__leak_name bmm__stack_build_name(struct bmm__stack_build *build, uint32_t id, uint32_t kind,
                                            struct bmm__strings *strings);
/* The class whose table of virtual methods the address (with its module's epoch) is in; NULL: it is in none. */
const char *bmm__stack_build_type(const struct bmm__stack_build *build, uint64_t word);
void bmm__stack_build_free(struct bmm__stack_build *build);

#endif
