#include "core/share.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/entry.h"
#include "core/heap_object.h"
#include "core/jit.h"
#include "core/os.h"
#include "core/process.h"
#include "core/text.h"

#include "brainmm/snapshot.h"

#include <string.h>

#define MAGIC "BMMSHARE"
#define NOTE_NAME "BrainMM"
#define ROOTS_MAX 64u

static bool begin(void);

/* For guests: by the fast paths, which they have not got. */
static void *serve_alloc(size_t size, size_t align, bool is_zeroed, unsigned kind)
{
    return align == 16 && !is_zeroed ? bmm__alloc(size, kind) : bmm__alloc_slow(size, align, is_zeroed, kind);
}

static void serve_free(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    bmm__free(p, given_size, given_align, kind);
}

static void *serve_object_alloc(struct bmm_heap *object, size_t size, size_t align, bool is_zeroed, unsigned kind)
{
    const struct bmm__client *client = bmm__process.client;
    if (client != NULL && size <= PTRDIFF_MAX)
        return client->object_alloc(object, size, align, is_zeroed, kind);
    return bmm__object_alloc(object, size, align, is_zeroed);
}

/* BMM__SHARE_OWN */
BMM__HIDDEN extern __typeof__(bmm_pages_realloc) bmm__own_bmm_pages_realloc;
BMM__HIDDEN extern __typeof__(bmm_pages_reget) bmm__own_bmm_pages_reget;
BMM__HIDDEN extern __typeof__(bmm_pages_protect) bmm__own_bmm_pages_protect;
BMM__HIDDEN extern __typeof__(bmm_memory_options) bmm__own_bmm_memory_options;
BMM__HIDDEN extern __typeof__(bmm_heap_walk) bmm__own_bmm_heap_walk;
BMM__HIDDEN extern __typeof__(bmm_stats) bmm__own_bmm_stats;
BMM__HIDDEN extern __typeof__(bmm_thread_heap_minimize) bmm__own_bmm_thread_heap_minimize;
BMM__HIDDEN extern __typeof__(bmm_heap_minimize) bmm__own_bmm_heap_minimize;
BMM__HIDDEN extern __typeof__(bmm_report_leaks_on_shutdown) bmm__own_bmm_report_leaks_on_shutdown;

static const struct bmm__share_table table = {
    .bytes = sizeof table,
    .alloc = serve_alloc,
    .alloc_run = bmm__alloc_run,
    .free = serve_free,
    .free_as = bmm__free_as,
    .realloc = bmm__realloc_any,
    .reget = bmm__reget_any,
    .pages_realloc = bmm__own_bmm_pages_realloc,
    .pages_reget = bmm__own_bmm_pages_reget,
    .pages_protect = bmm__own_bmm_pages_protect,
    .usable_size = bmm__usable_size,
    .memory_options = bmm__own_bmm_memory_options,
    .heap_walk = bmm__own_bmm_heap_walk,
    .stats = bmm__own_bmm_stats,
    .thread_heap_minimize = bmm__own_bmm_thread_heap_minimize,
    .heap_minimize = bmm__own_bmm_heap_minimize,
    .report_leaks = bmm__own_bmm_report_leaks_on_shutdown,
    .expect = bmm__expect,
    .object_create = bmm__object_create,
    .object_alloc = serve_object_alloc,
    .object_owns = bmm__object_owns,
    .object_clear = bmm__object_clear,
    .object_destroy = bmm__object_destroy,
    BMM__SHARE_JIT,
};

BMM__HIDDEN __attribute__((used)) struct bmm__share_root bmm__share_root = {
    /* used: by the note, as the compiler cannot see */
    .magic = { 'B', 'M', 'M', 'S', 'H', 'A', 'R', 'E' },
    .version = BMM__SHARE_VERSION,
    .bytes = sizeof bmm__share_root,
    .begin = begin,
    .table = &table,
    .self = &bmm__share_root,
};

/* The note: the distance from its contents to the root. */
__asm__(".pushsection .note.brainmm, \"a\", %note\n"
        "    .balign 4\n"
        "    .long 8, 8, 1\n" /* bytes of the name, bytes of the contents, type */
        "    .asciz \"" NOTE_NAME "\"\n"
        "    .quad bmm__share_root - .\n"
        ".popsection\n");

static const struct bmm__share_table *owner; /* relaxed: written before the process has started (process.h) */

const struct bmm__share_table *bmm__share_owner(void)
{
    return bmm__load_relaxed(&owner);
}

const struct bmm__share_table *bmm__share_table(void)
{
    const struct bmm__share_table *others = bmm__share_owner();
    return others != NULL ? others : &table;
}

/* ---- a guest's client: tail calls, so that an owner who debugs finds that the program called ---- */

static void *guest_alloc(size_t size, size_t align, bool is_zeroed, unsigned kind)
{
    return owner->alloc(size, align, is_zeroed, kind);
}

static void *guest_alloc_run(size_t size, size_t align, enum bmm__use use, unsigned kind)
{
    return owner->alloc_run(size, align, use, kind);
}

static void guest_free(void *p, size_t given_size, size_t given_align, unsigned kind)
{
    owner->free(p, given_size, given_align, kind);
}

static void *guest_realloc(void *p, size_t size, unsigned kind)
{
    return kind == BMM_KIND_PAGES ? owner->pages_realloc(p, size / BMM_PAGE_BYTES) : owner->realloc(p, size, kind);
}

static void *guest_reget(void *p, size_t size, unsigned kind)
{
    return kind == BMM_KIND_PAGES ? owner->pages_reget(p, size / BMM_PAGE_BYTES) : owner->reget(p, size, kind);
}

static bool guest_free_as(void *p, unsigned kind)
{
    return owner->free_as(p, kind == BMM_KIND_PAGES ? BMM__USE_PAGES : BMM__USE_MEMORY_BLOCK, kind);
}

static size_t guest_usable_size(const void *p)
{
    return owner->usable_size(p);
}

static bool guest_view(uintptr_t address, bool by_slot, struct bmm__view *view)
{
    (void)address, (void)by_slot, (void)view; /* who asks was told of the owner's */
    return false;
}

static int guest_expect(const struct bmm__expectation *expected)
{
    return owner->expect(expected);
}

static void guest_thread_end(void *state)
{
    (void)state;
}

static void guest_span_end(struct bmm__span *span, void *side)
{
    (void)span, (void)side;
}

static void guest_nothing(void)
{
}

static const struct bmm__client guest = {
    .alloc = guest_alloc,
    .alloc_run = guest_alloc_run,
    .free = guest_free,
    .realloc = guest_realloc,
    .reget = guest_reget,
    .free_as = guest_free_as,
    .view = guest_view,
    .usable_size = guest_usable_size,
    .expect = guest_expect,
    .thread_end = guest_thread_end,
    .span_end = guest_span_end,
    .library_loaded = guest_nothing,
    .fork_prepare = guest_nothing,
    .fork_parent = guest_nothing,
    .fork_child = guest_nothing,
};

/* ---- choosing ---- */

struct roots {
    size_t count;
    struct bmm__share_root *at[ROOTS_MAX];
};

static bool add_root(const void *contents, size_t bytes, void *context)
{
    struct roots *roots = context;
    int64_t distance;
    if (bytes != sizeof distance || roots->count == ROOTS_MAX)
        return true;
    memcpy(&distance, contents, sizeof distance);
    struct bmm__share_root *root = (struct bmm__share_root *)((uintptr_t)contents + (uintptr_t)distance); /* NOLINT */
    if (bmm__os_can_read(root, 8) && memcmp(root->magic, MAGIC, sizeof root->magic) == 0 &&
        bmm__load_acquire(&root->self) == root)
        roots->at[roots->count++] = root;
    return true;
}

/* S1 */
static bool is_alike(const struct bmm__share_root *root)
{
    return root->version == BMM__SHARE_VERSION && root->bytes >= sizeof *root && root->table->bytes >= sizeof table;
}

static void say_apart(const struct bmm__share_root *other)
{
    struct bmm__text text;
    bmm__text_begin(&text);
    bmm__text_put(&text, "two copies that do not understand each other are in this process (versions ");
    bmm__text_put_decimal(&text, other->version);
    bmm__text_put(&text, " and ");
    bmm__text_put_decimal(&text, BMM__SHARE_VERSION);
    bmm__text_put(&text, " of sharing): what one allocates the other cannot free");
    bmm__text_send(&text);
}

static void say_late(void)
{
    struct bmm__text text;
    bmm__text_begin(&text);
    bmm__text_put(
        &text,
        "the debugging library came when another copy served the process already: nothing is checked; preload it");
    bmm__text_send(&text);
}

/* Who owns the heap already; NULL: nobody with whom it can be shared. *other: somebody with whom it cannot. */
static struct bmm__share_root *find_owner(const struct roots *roots, const struct bmm__share_root **other)
{
    for (size_t i = 0; i < roots->count; i++) {
        struct bmm__share_root *root = roots->at[i];
        if (root == &bmm__share_root || bmm__load_acquire(&root->state) != BMM__SHARE_OWNER)
            continue;
        if (is_alike(root))
            return root;
        *other = root;
    }
    return NULL;
}

static bool is_to_debug(void)
{
    static uint32_t answer; /* 1 no · 2 yes */
    if (bmm__load_relaxed(&answer) == 0)
        bmm__store_relaxed(&answer, bmm__client_is_to_debug() ? 2u : 1u);
    return bmm__load_relaxed(&answer) == 2;
}

/* Another copy's call: see struct bmm__share_root. */
static bool begin(void)
{
    if (is_to_debug())
        bmm__process_start();
    return bmm__load_acquire(&bmm__share_root.state) == BMM__SHARE_OWNER;
}

/* S3: a copy that nobody has used yet, and that is to debug, begins before us. */
static struct bmm__share_root *let_debugger_begin(const struct roots *roots)
{
    for (size_t i = 0; i < roots->count; i++) {
        struct bmm__share_root *root = roots->at[i];
        if (root != &bmm__share_root && is_alike(root) && bmm__load_acquire(&root->state) == BMM__SHARE_FRESH &&
            root->begin())
            return root;
    }
    return NULL;
}

/* The first root knows who was first. NULL: this one. */
static struct bmm__share_root *agree(const struct roots *roots)
{
    struct bmm__share_root *first = roots->at[0], *chosen = NULL;
    if (!is_alike(first) || bmm__cas_acq_rel(&first->first_owner, &chosen, &bmm__share_root))
        return NULL;
    while (bmm__load_acquire(&chosen->state) == BMM__SHARE_FRESH) /* it is just about to own */
        bmm__pause();
    return bmm__load_acquire(&chosen->state) == BMM__SHARE_OWNER ? chosen : NULL;
}

const struct bmm__client *bmm__share_join(void)
{
    struct roots roots = { 0 };
    const struct bmm__share_root *other = NULL;
    struct bmm__share_root *chosen = NULL;
    bmm__share_root.debugs = is_to_debug();
    bmm__os_notes(NOTE_NAME, add_root, &roots);
    if (roots.count > 1) {
        chosen = find_owner(&roots, &other);
        if (chosen == NULL && !is_to_debug())
            chosen = let_debugger_begin(&roots);
        if (chosen == NULL && other == NULL)
            chosen = agree(&roots);
        if (chosen != NULL && is_to_debug() && !chosen->debugs)
            say_late(); /* S3 */
    }
    if (chosen == NULL) {
        if (other != NULL)
            say_apart(other);
        bmm__store_release(&bmm__share_root.state, other == NULL ? BMM__SHARE_OWNER : BMM__SHARE_APART);
        return NULL;
    }
    bmm__store_relaxed(&owner, chosen->table);
    bmm__store_release(&bmm__share_root.state, BMM__SHARE_GUEST);
    return &guest;
}

void bmm__share_start(void)
{
    if (bmm__load_relaxed(&owner) == NULL)
        bmm__os_keep_loaded(&bmm__share_root);
}
