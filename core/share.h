/* One heap for all copies of the library in a process: static in the program, static in plugins, preloaded. The first that is
 * used *owns* the heap; every other is a *guest*: it stays without a heap for ever, its fast paths find nothing as before the first
 * allocation, and its slow paths call the owner's, by a table of functions. So blocks can be passed between modules, a
 * plugin may go and its blocks stay, and nothing is paid for it on a fast path.
 *
 *   module ─ ELF note ─► root ─► table of functions
 *   module ─ ELF note ─► root
 *
 * Copies find each other by a note in each module that says where its root is. The first root in the loader's list keeps who owns
 * the heap, so that two copies that start at once agree.
 *
 * Invariants
 *  S1  A root of another version, or one whose table is shorter than ours, is another library: it runs apart, and says so once.
 *  S2  An owner is never unloaded: it sees to that when it starts (bmm__share_start).
 *  S3  A copy that debugs, and is asked to, owns the heap if no other copy has begun; if one has, which does not debug, it is a
 *      guest as any other, checks nothing and says so.
 */
#ifndef BMM_SHARE_H
#define BMM_SHARE_H

#include "core/client.h"

#include "brainmm/brainmm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What copies of one version must agree on: struct bmm__share_root, the table as far as it goes, and all that is passed by it.
 * Functions are added at the end. */
#define BMM__SHARE_VERSION 1u

struct bmm__share_table {
    size_t bytes; /* of this struct, as its owner knows it */
    void *(*alloc)(size_t size, size_t align, bool is_zeroed, unsigned kind);
    void *(*alloc_run)(size_t size, size_t align, enum bmm__use use, unsigned kind);
    void (*free)(void *p, size_t given_size, size_t given_align, unsigned kind);
    bool (*free_as)(void *p, enum bmm__use use, unsigned kind);
    void *(*realloc)(void *p, size_t size, unsigned kind);
    void *(*reget)(void *p, size_t size, unsigned kind);
    void *(*pages_realloc)(void *pages, size_t count);
    void *(*pages_reget)(void *pages, size_t count);
    bool (*pages_protect)(void *pages, size_t count, unsigned rights);
    size_t (*usable_size)(const void *p);
    bool (*memory_options)(const void *p, struct bmm_memory_options *options);
    void (*heap_walk)(bool (*visit)(const struct bmm_memory_options *block, void *context), void *context);
    void (*stats)(struct bmm_stats *stats);
    bool (*thread_heap_minimize)(void);
    bool (*heap_minimize)(void);
    void (*report_leaks)(bool on);
    int (*expect)(const struct bmm__expectation *expected);
    struct bmm_heap *(*object_create)(void);
    void *(*object_alloc)(struct bmm_heap *object, size_t size, size_t align, bool is_zeroed, unsigned kind);
    bool (*object_owns)(const struct bmm_heap *object, const void *p);
    void (*object_clear)(struct bmm_heap *object);
    void (*object_destroy)(struct bmm_heap *object);
    struct bmm_jit_heap *(*jit_create)(unsigned flags);
    bool (*jit_has_dual_views)(const struct bmm_jit_heap *heap);
    void *(*jit_get)(struct bmm_jit_heap *heap, size_t size);
    void *(*jit_sync_get)(struct bmm_jit_heap *heap, size_t size);
    void *(*jit_code)(const struct bmm_jit_heap *heap, const void *writable);
    void *(*jit_data)(const struct bmm_jit_heap *heap, const void *code);
    bool (*jit_publish)(const struct bmm_jit_heap *heap, const void *writable, size_t size);
    bool (*jit_free)(struct bmm_jit_heap *heap, void *p);
    bool (*jit_sync_free)(struct bmm_jit_heap *heap, void *p);
    void (*jit_clear)(struct bmm_jit_heap *heap);
    void (*jit_destroy)(struct bmm_jit_heap *heap);
};

/* In a table: this copy's JIT heaps (jit.h). */
#define BMM__SHARE_JIT \
    .jit_create = bmm__jit_create, .jit_has_dual_views = bmm__jit_has_dual_views, .jit_get = bmm__jit_get, \
    .jit_sync_get = bmm__jit_sync_get, .jit_code = bmm__jit_code, .jit_data = bmm__jit_data, \
    .jit_publish = bmm__jit_publish, .jit_free = bmm__jit_free, .jit_sync_free = bmm__jit_sync_free, \
    .jit_clear = bmm__jit_clear, .jit_destroy = bmm__jit_destroy

/* Behind the definition of a public function: a name of its own for it. In the table it stands for the public one, by whose name
 * the loader may give another copy's, which would call the table again for ever. */
#define BMM__SHARE_OWN(name) extern __typeof__(name) bmm__own_##name __attribute__((alias(#name), visibility("hidden")))

enum bmm__share_state { BMM__SHARE_FRESH = 0, BMM__SHARE_OWNER, BMM__SHARE_GUEST, BMM__SHARE_APART };

struct bmm__share_root {
    char magic[8];
    uint32_t version;
    uint32_t bytes;
    uint32_t state;      /* release: an owner's heap can be used */
    uint32_t debugs;     /* of an owner */
    bool (*begin)(void); /* begins if it is to debug: S3. True: it owns the heap now */
    const struct bmm__share_table *table;
    struct bmm__share_root *first_owner; /* of the first root only: who was chosen */
    struct bmm__share_root *self;        /* else the module is just being loaded, and its pointers are none yet */
};

/* At the process' start, once: chooses. NULL: this copy has a heap of its own. */
const struct bmm__client *bmm__share_join(void);

/* When libc is usable. */
void bmm__share_start(void);

/* The owner's table if this copy is a guest; else NULL. */
const struct bmm__share_table *bmm__share_owner(void);

/* The owner's table, or this copy's if it has a heap of its own. When the process has started. */
const struct bmm__share_table *bmm__share_table(void);

#endif
