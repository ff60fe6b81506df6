/* The narrow door: everything that a layer around the core may know and do. debug/ includes this header (and os.h,
 * atomic.h, lock.h, assert.h, text.h) and nothing else of core, but client_fast.h where every instruction counts.
 *
 * Words. *Client*: a layer that wants to see every call; at most one in a process, chosen at the first allocation.
 * *Slot*: what the core hands out for a request (class-sized piece of a span, page run, or large mapping). *Span*:
 * the core's descriptor of neighbouring slots; opaque here (client_fast.h looks into it). *Side*: one pointer per span that belongs to the client.
 *
 *   program ── malloc ──► fast path (no client: done) ──► slow path ──► client->alloc ──► bmm__core_alloc
 *
 * With a client installed every thread's heap shows the fast path an empty sentinel and every span a flagged owner,
 * so each call reaches the client on branches that exist anyway; without one nothing is paid.
 *
 * Invariants
 *  C1  bmm__core_* may be called from inside any client function, from any thread, and never call the client back
 *      for allocation; they call span_end, thread_end only.
 *  C2  A span's side pointer is NULL when the span is born; the client sets it on first use (CAS, several threads
 *      may race) and gets it back in span_end, after which no address of the span is found any more.
 *  C3  Slots of a span never move, and a slot's start and size are constants of the span (page runs excepted).
 *  C4  The core writes into the first bytes of a slot (34 at most) while it is free, and nowhere else.
 */
#ifndef BMM_CLIENT_H
#define BMM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bmm__span;
struct bmm_heap;

/* What a block is for that is a run, of whatever size: see run.h. */
/* HEAP: also of a span of slots, see heap_object.h. */
enum bmm__use { BMM__USE_ANY = 0, BMM__USE_PAGES, BMM__USE_MEMORY_BLOCK, BMM__USE_HEAP };

/* A leak that the program expects (brainmm.h, bmm_expect_leak and the others), or no longer. */
struct bmm__expectation {
    enum { BMM__EXPECT_BLOCK, BMM__EXPECT_SIZE, BMM__EXPECT_STACK, BMM__EXPECT_SCOPE } what;
    bool is_on;
    const void *block;   /* the start of a live one */
    size_t size, count;  /* so many of just that size */
    const char *pattern; /* shorter than BMM_EXPECT_PATTERN_BYTES */
};

/* What bmm_memory_options says of a block (brainmm.h). */
struct bmm__view {
    uintptr_t start;
    size_t slot_bytes;
    size_t size;  /* that may be used, or that was asked for */
    size_t align; /* likewise */
    uint32_t thread_id;
    uint32_t kind; /* enum bmm_memory_kind */
    bool is_exact; /* that it is in use */
};

/* Kinds are those of enum bmm_alloc_kind in brainmm/snapshot.h; core passes them through and knows no meaning. */
struct bmm__client {
    /* errno is the client's business in these three: ENOMEM with NULL, kept otherwise. They are called by tail calls: their
     * caller is the program, or one of the core's entries that it called.
     *
     * A block of size bytes at a multiple of align (power of two ≥ 16), zeroed if is_zeroed. NULL: out of memory. */
    void *(*alloc)(size_t size, size_t align, bool is_zeroed, unsigned kind);
    /* p is not NULL, but may be anything else. given_size (SIZE_MAX: not given) and given_align (0: not given) come
     * from sized and aligned deletes. */
    void (*free)(void *p, size_t given_size, size_t given_align, unsigned kind);
    /* A block of a heap that the program has made, likewise; and the end of all those that it still has. */
    void *(*object_alloc)(struct bmm_heap *object, size_t size, size_t align, bool is_zeroed, unsigned kind);
    void (*object_clear)(struct bmm_heap *object);
    /* A run for that use, likewise. */
    void *(*alloc_run)(size_t size, size_t align, enum bmm__use use, unsigned kind);
    /* p not NULL, size not 0. NULL with errno: p is untouched. keeps: as much of the content as fits. EINVAL: of a block that was
     * obtained as another kind, where kind is one of a use; and always of a memory block. */
    void *(*realloc)(void *p, size_t size, unsigned kind);
    void *(*reget)(void *p, size_t size, unsigned kind); /* the same without the content */
    /* Frees the block at p if it was obtained as that kind. False with EINVAL: it was not, or is none; nothing was done. */
    bool (*free_as)(void *p, unsigned kind);
    /* What is known of the live block that the address lies in; by_slot: whose slot it lies in. *view is what bmm__core_view said
     * of it. False: there is none. */
    bool (*view)(uintptr_t address, bool by_slot, struct bmm__view *view);
    /* 0 for what is not a live block. */
    size_t (*usable_size)(const void *p);
    /* 0, or an errno: ENOMEM, EINVAL if what is taken back was not expected. */
    int (*expect)(const struct bmm__expectation *expected);
    /* The thread ends; state is what *bmm__core_thread_state() held. */
    void (*thread_end)(void *state);
    /* The span's memory is about to go back; side is what it had, never NULL. */
    void (*span_end)(struct bmm__span *span, void *side);
    /* A library was loaded. Said by libcs but glibc: there the loader can be asked, and dlopen must be called by a tail call. */
    void (*library_loaded)(void);
    /* Around fork, with every registered lock held in prepare and released (parent) or re-initialised (child) after. */
    void (*fork_prepare)(void);
    void (*fork_parent)(void);
    void (*fork_child)(void);
};

/* Provided by the library's entry, not by core: libbrainmm answers NULL, libbrainmm_debug chooses by its options.
 * Called once, at the first allocation of the process, possibly before libc has started: raw system calls only. */
const struct bmm__client *bmm__client_open(void);

/* Likewise: whether this copy of the library is one that debugs, and was asked to; at any time, also before client_open. */
bool bmm__client_is_to_debug(void);

/* Provided by the library's entry too: the library's constructor calls it when libc is usable (atexit, sigaction).
 * is_guest: another copy serves this process (share.h), and bmm__client_open was not called. */
void bmm__client_start(bool is_guest);

/* To whoever keeps expectations: the client, or core/expect.c. 0 or an errno. */
int bmm__expect(const struct bmm__expectation *expected);

/* What a program asked for with bmm_report_leaks_on_shutdown(). */
void bmm__client_report_leaks(bool on);

/* ---- allocation that the client does not see ---- */

struct bmm__slot {
    struct bmm__span *span;
    void *side; /* the span's, as it was (acquire) */
    uintptr_t start;
    size_t bytes;
    uint32_t index;   /* in the span; of a page run the index of its first OS page */
    bool is_free_run; /* page-run spans only: no run is there now; start and bytes are those of one OS page */
};

/* NULL or false: out of memory. *slot becomes what bmm__core_find would say of it. */
void *bmm__core_alloc(size_t size, size_t align, bool is_zeroed);
bool bmm__core_alloc_slot(size_t size, size_t align, bool is_zeroed, struct bmm__slot *slot);
bool bmm__core_alloc_run(size_t size, size_t align, enum bmm__use use, struct bmm__slot *slot);
bool bmm__core_object_alloc(struct bmm_heap *object, size_t size, size_t align, bool is_zeroed, struct bmm__slot *slot);
/* The heap that the program made and that the slot is of; NULL: none. */
struct bmm_heap *bmm__core_object_of(const struct bmm__slot *slot);
/* Calls visit for the slots of the object that are in use. It may free them. */
void bmm__core_object_visit(struct bmm_heap *object, void (*visit)(uintptr_t slot_start, void *context), void *context);
/* False: no slot starts there. */
bool bmm__core_free(void *slot_start);
/* The same, of a slot that is known: what bmm__core_alloc_slot or bmm__core_find said of a slot that is in use. */
void bmm__core_free_slot(const struct bmm__slot *slot);
/* True if the slot at slot_start now holds size bytes without moving. */
bool bmm__core_resize(void *slot_start, size_t size);
/* Moves a block with a span of its own by changing page addresses; NULL where it cannot, slot untouched. The side of
 * the new span is NULL, span_end was called for the old one. keeps: its content. */
void *bmm__core_remap(void *slot_start, size_t size, bool keeps);
/* Makes all pages of a run readable and writable again. False: the system refuses. */
bool bmm__core_restore_rights(const struct bmm__slot *slot);

/* ---- finding ---- */

/* The slot that address lies in, for any 64-bit value, without touching the memory at it. False: no span of ours, or
 * the unused tail of one. Says nothing about whether the slot is in use: the client knows that itself. */
bool bmm__core_find(uintptr_t address, struct bmm__slot *slot);

/* What the core knows of the slot that the address lies in. False: there is none, or it is not in use, as far as the core knows.
 * in_use: that is not asked; the caller knows, or will ask the client. */
bool bmm__core_view(uintptr_t address, bool in_use, struct bmm__view *view);

/* True if a slot of the span (which may be NULL) starts at address; of page runs, if a run does. */
bool bmm__core_is_start(const struct bmm__span *span, uintptr_t address);

struct bmm__span_view {
    uintptr_t start;
    size_t slot_bytes; /* of page runs: one OS page */
    uint32_t slot_count;
    uint32_t kind; /* enum bmm_span_kind of brainmm/snapshot.h */
    /* of slots: it was opened since all others of the class were full, as it will soon be itself; by the only thread that has a heap */
    bool is_next;
};
struct bmm__span_view bmm__core_span_view(const struct bmm__span *span);
void **bmm__core_span_side(struct bmm__span *span); /* access through atomic.h */

/* Calls visit for every span with a side pointer. Spans born or ended meanwhile may be missed. */
void bmm__core_walk(void (*visit)(struct bmm__span *span, void *side, void *context), void *context);

/* is_certain: as bmm__visit_is_in_use (visit.h). False: no more. */
typedef bool bmm__visitor(uintptr_t start, size_t bytes, bool is_certain, void *context);

/* Calls visit for every block in use, until it says false. Exact for what the calling thread allocated and freed, and
 * for all when other threads stand still outside of the core; blocks that change hands meanwhile may be missed or seen too
 * often, as in a forked child those that other threads were at. */
void bmm__core_visit_blocks(bmm__visitor *visit, void *context);

/* ---- threads ---- */

/* Where the client may keep one pointer for the calling thread. NULL in a thread whose heap is gone (late TLS
 * destructors) or could not be made: such calls must do without. */
void **bmm__core_thread_state(void);

/* Number of OS memory bytes for the client's own tables, at a multiple of 64: zeroed, never given back, from a pool of its own, so
 * that small tables cost no mapping each. NULL: out of memory. */
void *bmm__core_meta_alloc(size_t bytes);

#endif
