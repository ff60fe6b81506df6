/* The depot: every distinct stack once, as a tree of runs (brainmm/snapshot.h) that grows from the outermost frame inwards.
 *
 *   heads (private)           segments (chunks of the recorder), each as large as all before it
 *   ┌──┬──┬──┬──┐             ┌─────────────┬─────────────┬───────────────────────────┐
 *   │  │77│  │40│             │ 0 … 4095    │ … 8191 ids  │ …                         │
 *   └──┴┬─┴──┴──┘             └─────────────┴─────────────┴───────────────────────────┘
 *       └──► run 77 ─ next ─► run 30 ─► 0      run: next, parent, site, site, …; its name is the id of its first site
 *
 * A stack is looked for run by run: what stands behind a frame's word in its run is compared, and where that ends or differs, the
 * run that begins with the next frame on top of this one is looked up. What is not found is added as one run.
 * A head has the first run of its chain and a filter, one bit for each run, so that a chain is seldom searched in vain.
 * Heads come in generations, each many times as large; a small process has touched only the first. A run stays in the
 * chain it was put into. To put one into a newer generation, its bucket in each older one is sealed first: nothing
 * is added there any more, so what was not found in it never will be, and no stack gets two ids.
 *
 * Invariants
 *  N1  A run is complete before a head names it (release), and never changes after (acquire by who follows).
 *  N2  A parent's id is smaller than its child's.
 *  N3  A frame on top of a stack is in at most one place: behind that stack's innermost frame in its run, which is settled when the
 *      run is complete, or as the first of a run in one chain. A run may be lost to a race, and is then in none. (Where numbers with
 *      an epoch were used up, a chain is one epoch's, though sites no longer tell them apart.)
 *  N4  A head with SEALED set never changes again.
 *  N5  Segments and generations are made ahead of need under a lock, published last; no one waits for another thread's
 *      insertion. In a forked child the lock is new, and chains hold what was complete when it was copied.
 *  N6  No run lies in two segments, and none has the last word of one: so behind each site there is a word, which is the run's next
 *      site, or another run's, with BMM_STACK_HEAD, or 0.
 */
#include "module.h"
#include "recorder.h"
#include "stack.h"
#include "stack_site.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/lock.h"
#include "core/os.h"

#define FIRST_SHIFT 12
#define SEGMENTS_MAX 17 /* 2^29 words, 2 GiB */
_Static_assert(FIRST_SHIFT + SEGMENTS_MAX <= 31,
               "an id leaves a bit to BMM_STACK_HEAD, and to the record's is_expected");
#define SEALED 0x80000000u /* of a head: below it the first run's name, above it the filter */
#define FIRST_RUN(head) ((uint32_t)(head) & ~SEALED)
#define HEAD_WORDS 2u /* of a run: next, parent */
#define GENERATIONS 4
#define FIRST_BITS 12

static uint32_t *segments[SEGMENTS_MAX]; /* release under lock, acquire by all */
static uint32_t next_id = 1;
static const struct {
    uint8_t bits; /* of the number of heads: 32 KiB, 256 KiB, 2 MiB, 16 MiB */
    /* Made with the segment that begins there: when the one before it is half full, with runs of about 8 words. */
    uint32_t words;
} generations[GENERATIONS] = { { FIRST_BITS, 0 }, { 15, 32u << 10 }, { 18, 512u << 10 }, { 21, 4u << 20 } };
static uint64_t first_heads[1u << FIRST_BITS];
static uint64_t *heads[GENERATIONS] = { first_heads };
static uint32_t generation_count = 1; /* release after the heads */
BMM__LOCK(lock, BMM__RANK_MODULES);

/* ---- where an id is ---- */

static unsigned segment_of(uint32_t id)
{
    return 31u - (unsigned)__builtin_clz(id + (1u << FIRST_SHIFT)) - FIRST_SHIFT;
}

/* NULL: its segment does not exist. */
static inline uint32_t *word_at(uint32_t id)
{
    unsigned segment = segment_of(id);
    if (BMM__UNLIKELY(segment >= SEGMENTS_MAX))
        return NULL;
    uint32_t *words = bmm__load_acquire(&segments[segment]);
    return words ? words + (id + (1u << FIRST_SHIFT) - (1u << (FIRST_SHIFT + segment))) : NULL;
}

static inline uint64_t *head_of(unsigned generation, uint64_t hash)
{
    return &bmm__load_relaxed(&heads[generation])[hash >> (64 - generations[generation].bits)];
}

/* The bit in the head's filter of a run with this hash: of bits that its place does not follow from. */
static inline uint64_t filter_bit(uint64_t hash)
{
    return UINT64_C(1) << (32 + hash % 32);
}

/* The run in the head's chain whose first frame is that; 0: not there. until: where a former search of the chain began. */
static inline uint32_t search(uint64_t head, uint32_t until, uint32_t parent, const struct bmm__depot_frame *frame)
{
    uint32_t id = (head & filter_bit(frame->hash)) != 0 ? FIRST_RUN(head) : 0;
    while (id != until && id != 0) {
        const uint32_t *first = word_at(id);
        if (first[0] == frame->site && first[-1] == (parent | BMM_STACK_HEAD))
            return id;
        id = first[-2] & ~BMM_STACK_HEAD;
    }
    return 0;
}

/* ---- growing ---- */

/* Makes the segment that id is in, and the next generation of heads when it is time. A signal handler that nested this in itself
 * would find no room. */
static __attribute__((noinline, cold)) void grow(uint32_t id)
{
    unsigned segment = segment_of(id);
    if (segment >= SEGMENTS_MAX || bmm__lock_is_mine(&lock))
        return;
    uint64_t mask = bmm__os_block_signals();
    bmm__lock_take(&lock);
    uint64_t count = (uint64_t)1 << (FIRST_SHIFT + segment);
    if (!segments[segment]) {
        struct bmm_snapshot_chunk *entry;
        uint32_t *words =
            bmm__recorder_chunk(BMM_CHUNK_STACKS, (size_t)count * sizeof *words, count - (1u << FIRST_SHIFT), &entry);
        if (words != NULL)
            bmm__store_release(&entry->used, count * sizeof *words); /* a page may be larger than that */
        bmm__store_release(&segments[segment], words);
    }
    unsigned generation = generation_count;
    if (generation < GENERATIONS && id + (1u << FIRST_SHIFT) >= generations[generation].words) {
        size_t bytes = sizeof(uint64_t) << generations[generation].bits;
        bmm__store_relaxed(&heads[generation], bmm__os_map(bytes, bmm__os_page_bytes()));
        if (heads[generation])
            bmm__store_release(&generation_count, generation + 1);
    }
    bmm__lock_release(&lock);
    bmm__os_restore_signals(mask);
}

/* So many words together that can be written, and the id of the first; NULL: full. */
static uint32_t *make_words(uint32_t count, uint32_t *made)
{
    uint32_t id = bmm__load_relaxed(&next_id);
    for (;;) {
        unsigned segment = segment_of(id);
        if (segment >= SEGMENTS_MAX)
            return NULL;
        uint32_t *words = word_at(id);
        if (BMM__UNLIKELY(!words)) {
            grow(id);
            if (!(words = word_at(id)))
                return NULL;
        }
        uint32_t start = id + (1u << FIRST_SHIFT), segment_end = 2u << (FIRST_SHIFT + segment);
        bool fits = start + count < segment_end; /* N6 */
        uint32_t end = fits ? start + count : segment_end;
        if (!bmm__cas_weak_acq_rel(&next_id, &id, end - (1u << FIRST_SHIFT)) || !fits)
            continue;
        /* In the middle of a segment: the next one, and perhaps more heads, before anyone needs them. */
        uint32_t middle = 3u << (FIRST_SHIFT + segment - 1);
        if (BMM__UNLIKELY(start < middle && end >= middle))
            grow(segment_end - (1u << FIRST_SHIFT));
        *made = id;
        return words;
    }
}

/* A run, but for its next; its name. 0: full. */
static uint32_t make_run(uint32_t parent, const struct bmm__depot_frame *frames, uint32_t count)
{
    uint32_t id, *words = make_words(HEAD_WORDS + count, &id);
    if (!words)
        return 0;
    bmm__store_relaxed(&words[1], parent | BMM_STACK_HEAD);
    for (uint32_t i = 0; i < count; i++)
        bmm__store_relaxed(&words[HEAD_WORDS + i], frames[i].site);
    return id + HEAD_WORDS;
}

/* ---- interning ---- */

/* A run of those frames, whose first is nowhere yet; its name. Or the one that has it meanwhile. 0: full. */
static __attribute__((noinline)) uint32_t insert(uint32_t parent, const struct bmm__depot_frame *frames, uint32_t count)
{
    uint32_t id = 0;
    for (;;) {
        unsigned newest = bmm__load_acquire(&generation_count) - 1;
        for (unsigned g = 0; g < newest; g++) {
            uint64_t *older = head_of(g, frames[0].hash), sealed = bmm__load_acquire(older);
            if ((sealed & SEALED) == 0)
                sealed = bmm__or_acq_rel(older, SEALED);
            uint32_t found = search(sealed, 0, parent, &frames[0]); /* N4: the answer is final */
            if (found)
                return found;
        }
        uint64_t *head = head_of(newest, frames[0].hash);
        uint64_t now = bmm__load_acquire(head);
        uint32_t searched = 0;
        while ((now & SEALED) == 0) { /* else a newer generation came */
            uint32_t found = search(now, searched, parent, &frames[0]);
            if (found)
                return found; /* a run made meanwhile is lost (N3) */
            searched = FIRST_RUN(now);
            if (id == 0 && (id = make_run(parent, frames, count)) == 0)
                return 0;
            bmm__store_relaxed(&word_at(id)[-2],
                               searched | BMM_STACK_HEAD); /* looked at behind the run before it (N6) */
            uint64_t filter = (now | filter_bit(frames[0].hash)) >> 32 << 32;
            if (bmm__cas_acq_rel(head, &now, filter | id)) /* release: N1 */
                return id;
        }
    }
}

static inline uint32_t find(uint32_t parent, const struct bmm__depot_frame *frame)
{
    for (unsigned g = bmm__load_acquire(&generation_count); g-- > 0;) {
        uint32_t found = search(bmm__load_acquire(head_of(g, frame->hash)), 0, parent, frame);
        if (BMM__LIKELY(found != 0))
            return found;
    }
    return 0;
}

void bmm__depot_open(void)
{
    bmm__os_populate(first_heads, sizeof first_heads);
}

void bmm__depot_expect(uint64_t hash)
{
    unsigned newest = bmm__load_acquire(&generation_count) - 1;
    __builtin_prefetch(head_of(newest, hash));
    if (newest > 0)
        __builtin_prefetch(head_of(newest - 1, hash));
}

void bmm__depot_intern(uint32_t parent, struct bmm__depot_frame *frames, uint32_t count)
{
    BMM_ASSERT(count <= BMM__DEPOT_FRAMES_MAX);
    uint32_t known = 0, at = 0;
    for (; known < count && (frames[known].site = bmm__site_of(frames[known].pc)) != 0; known++)
        ;
    while (at < known) {
        if (parent != 0)
            for (const uint32_t *word = word_at(parent) + 1; at < known && bmm__load_relaxed(word) == frames[at].site;
                 word++, at++)
                frames[at].id = ++parent;
        if (at == known)
            break;
        uint32_t id = find(parent, &frames[at]);
        if (id == 0 && (id = insert(parent, frames + at, known - at)) == 0)
            break;
        frames[at++].id = parent = id;
    }
    for (; at < count; at++)
        frames[at].id = 0;
}

/* By recursion, for a stack's hash begins with its outermost frame; as deep as a stack is, and not on any hot way. */
static uint64_t hash_of(uint32_t id)
{
    uintptr_t pc;
    uint32_t parent;
    return bmm__depot_node(id, &pc, &parent) ? bmm__depot_hash(hash_of(parent), pc) : 0;
}

uint32_t bmm__depot_intern_one(uint32_t parent, uintptr_t pc)
{
    struct bmm__depot_frame frame = { pc, bmm__depot_hash(hash_of(parent), pc), 0, 0 };
    bmm__depot_intern(parent, &frame, 1);
    return frame.id;
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
    if (id < HEAD_WORDS || id >= bmm__load_relaxed(&next_id) || !word_at(id) || segment_of(id - 1) != segment_of(id))
        return false;
    const uint32_t *word = word_at(id);
    uint32_t site = bmm__load_relaxed(&word[0]), before = bmm__load_relaxed(&word[-1]);
    if (site == 0 || (site & BMM_STACK_HEAD) != 0 || before == 0)
        return false;
    *pc = bmm__site_pc(site);
    *parent = (before & BMM_STACK_HEAD) != 0 ? before & ~BMM_STACK_HEAD : id - 1;
    return true;
}
