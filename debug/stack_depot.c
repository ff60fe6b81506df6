/* The depot: every distinct stack once, as a tree of call sites that grows from the outermost frame inwards.
 *
 *   heads (private)           segments (chunks of the recorder), each as large as all before it
 *   ┌──┬──┬──┬──┐             ┌─────────────┬─────────────┬───────────────────────────┐
 *   │  │ 7│  │ 4│             │ 0 … 1023    │ … 2047 ids  │ …                         │
 *   └──┴┬─┴──┴──┘             └─────────────┴─────────────┴───────────────────────────┘
 *       └──► node 7 ─ next ─► node 3 ─► 0      node: site, parent, next
 *
 * Heads come in generations, each 32 times as large; a small process has touched only the first. A node stays in the
 * chain it was put into. To put a node into a newer generation, its bucket in each older one is sealed first: nothing
 * is added there any more, so what was not found in it never will be, and no stack gets two ids.
 *
 * Invariants
 *  N1  A node is complete before a head names it (release), and never changes after (acquire by who follows).
 *  N2  A parent's id is smaller than its child's.
 *  N3  (site, parent) is in at most one chain; an id may be lost to a race, and is then in none.
 *  N4  A head with SEALED set never changes again.
 *  N5  Segments and generations are made ahead of need under a lock, published last; no one waits for another thread's
 *      insertion. In a forked child the lock is new, and chains hold what was complete when it was copied.
 */
#include "module.h"
#include "recorder.h"
#include "stack.h"
#include "stack_site.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/lock.h"
#include "core/os.h"

#define FIRST_SHIFT 10
#define SEGMENTS_MAX 17 /* 2^27 nodes, 1.5 GiB */
#define SEALED 0x80000000u
#define GENERATIONS 3
#define GENERATION_BITS(g) (12 + 5 * (g)) /* 16 KiB, 512 KiB, 16 MiB of heads */

static struct bmm_snapshot_stack *segments[SEGMENTS_MAX]; /* release under lock, acquire by all */
static uint32_t next_id = 1;
static uint32_t first_heads[1u << GENERATION_BITS(0)];
static uint32_t *heads[GENERATIONS] = { first_heads };
static uint32_t generation_count = 1; /* release after the heads */
static struct bmm__lock lock = BMM__LOCK_INIT(BMM__RANK_MODULES);

/* ---- where an id is ---- */

static unsigned segment_of(uint32_t id)
{
    return 31u - (unsigned)__builtin_clz(id + (1u << FIRST_SHIFT)) - FIRST_SHIFT;
}

/* NULL: its segment does not exist. */
static inline struct bmm_snapshot_stack *node_at(uint32_t id)
{
    unsigned segment = segment_of(id);
    if (BMM__UNLIKELY(segment >= SEGMENTS_MAX))
        return NULL;
    struct bmm_snapshot_stack *nodes = bmm__load_acquire(&segments[segment]);
    return nodes ? nodes + (id + (1u << FIRST_SHIFT) - (1u << (FIRST_SHIFT + segment))) : NULL;
}

static inline uint32_t *head_of(unsigned generation, uint64_t hash)
{
    return &bmm__load_relaxed(&heads[generation])[hash >> (64 - GENERATION_BITS(generation))];
}

/* The node in the chain that begins at id; 0: not there. until: where a former search of the chain began. */
static inline uint32_t search(uint32_t id, uint32_t until, uint32_t parent, uint32_t site)
{
    while (id != until && id != 0) {
        const struct bmm_snapshot_stack *node = node_at(id);
        if (node->site == site && node->parent == parent)
            return id;
        id = node->next;
    }
    return 0;
}

/* ---- growing ---- */

/* Makes the segment that id is in, and the next generation of heads when it is time. Nested in itself by a signal
 * handler it does nothing. */
static __attribute__((noinline, cold)) void grow(uint32_t id)
{
    if (bmm__lock_is_mine(&lock))
        return;
    unsigned segment = segment_of(id);
    if (segment >= SEGMENTS_MAX)
        return;
    bmm__lock_take(&lock);
    uint64_t count = (uint64_t)1 << (FIRST_SHIFT + segment);
    if (!segments[segment]) {
        struct bmm_snapshot_stack *nodes =
            bmm__recorder_chunk(BMM_CHUNK_STACKS, (size_t)count * sizeof *nodes, count - (1u << FIRST_SHIFT), NULL);
        bmm__store_release(&segments[segment], nodes);
    }
    unsigned generation = generation_count;
    if (generation < GENERATIONS && id >= 2u << GENERATION_BITS(generation - 1)) {
        size_t bytes = sizeof(uint32_t) << GENERATION_BITS(generation);
        bmm__store_relaxed(&heads[generation], bmm__os_map(bytes, BMM__GRANULE));
        if (heads[generation])
            bmm__store_release(&generation_count, generation + 1);
    }
    bmm__lock_release(&lock);
}

/* A new id whose node can be written; 0: full. */
static uint32_t make_id(void)
{
    uint32_t id = bmm__load_relaxed(&next_id);
    if (segment_of(id) >= SEGMENTS_MAX)
        return 0;
    if (BMM__UNLIKELY(!node_at(id))) {
        grow(id);
        if (!node_at(id))
            return 0;
    }
    id = bmm__add_relaxed(&next_id, 1); /* others may have taken the one looked at; few can be so many ahead */
    struct bmm_snapshot_stack *node = node_at(id);
    if (!node) {
        grow(id);
        node = node_at(id);
    }
    /* In the middle of a segment: the next one, and perhaps more heads, before anyone needs them. */
    uint32_t place = id + (1u << FIRST_SHIFT);
    if (BMM__UNLIKELY(place == 3u << __builtin_ctz(place)))
        grow(place / 3 * 4 - (1u << FIRST_SHIFT));
    return node ? id : 0;
}

/* ---- interning ---- */

static __attribute__((noinline)) uint32_t insert(uint32_t parent, uint32_t site, uint64_t hash)
{
    uint32_t id = 0;
    for (;;) {
        unsigned newest = bmm__load_acquire(&generation_count) - 1;
        for (unsigned g = 0; g < newest; g++) {
            uint32_t sealed = bmm__or_acq_rel(head_of(g, hash), SEALED); /* N4: now the answer is final */
            uint32_t found = search(sealed & ~SEALED, 0, parent, site);
            if (found)
                return found;
        }
        uint32_t *head = head_of(newest, hash);
        uint32_t first = bmm__load_acquire(head), searched = 0;
        for (;;) {
            if (first & SEALED)
                break; /* a newer generation came */
            uint32_t found = search(first, searched, parent, site);
            if (found)
                return found; /* an id made meanwhile is lost (N3) */
            searched = first;
            if (id == 0 && (id = make_id()) == 0)
                return 0;
            struct bmm_snapshot_stack *node = node_at(id);
            node->site = site;
            node->parent = parent;
            node->next = first;
            if (bmm__cas_acq_rel(head, &first, id)) /* release: N1 */
                return id;
        }
    }
}

uint32_t bmm__depot_intern_hashed(uint32_t parent, uintptr_t pc, uint64_t hash)
{
    uint32_t site = bmm__site_of(pc);
    if (BMM__UNLIKELY(site == 0))
        return 0;
    for (unsigned g = bmm__load_acquire(&generation_count); g-- > 0;) {
        uint32_t found = search(bmm__load_acquire(head_of(g, hash)) & ~SEALED, 0, parent, site);
        if (BMM__LIKELY(found != 0))
            return found;
    }
    return insert(parent, site, hash);
}

void bmm__depot_fetch_head(uint64_t hash)
{
    __builtin_prefetch(head_of(bmm__load_acquire(&generation_count) - 1, hash));
}

void bmm__depot_fetch_node(uint64_t hash)
{
    uint32_t id = bmm__load_relaxed(head_of(bmm__load_acquire(&generation_count) - 1, hash)) & ~SEALED;
    if (id != 0)
        __builtin_prefetch(node_at(id));
}

/* By recursion, for a stack's hash begins with its outermost frame; as deep as a stack is, and not on any hot way. */
static uint64_t hash_of(uint32_t id)
{
    uintptr_t pc;
    uint32_t parent;
    return bmm__depot_node(id, &pc, &parent) ? bmm__depot_hash(hash_of(parent), pc) : 0;
}

uint32_t bmm__depot_intern(uint32_t parent, uintptr_t pc)
{
    return bmm__depot_intern_hashed(parent, pc, bmm__depot_hash(hash_of(parent), pc));
}

void bmm__depot_fork_child(void)
{
    bmm__lock_reset(&lock); /* after a raw clone no fork handler made it new */
    bmm__site_fork_child();
}

uint32_t bmm__depot_count(void)
{
    return bmm__load_acquire(&next_id);
}

bool bmm__depot_node(uint32_t id, uintptr_t *pc, uint32_t *parent)
{
    const struct bmm_snapshot_stack *node = id == 0 || id >= bmm__load_relaxed(&next_id) ? NULL : node_at(id);
    if (!node || node->site == 0)
        return false;
    *pc = bmm__site_pc(node->site);
    *parent = node->parent;
    return true;
}
