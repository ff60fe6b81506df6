/* A naive model of the heap, and random operations of the whole API against it: what every block must hold, where it may lie, and
 * what may be said of it. Used by api/test_model.c, against every library, and by unit/core/test_model.c, which asks the core's own
 * invariants as well.
 *
 *   struct model model; model_begin(&model, seed); model_run(&model, operations); model_end(&model);
 *   model.wrong is NULL, or what was not so.
 *
 * One thread each; several models may run at the same time. The model's own memory is mapped, and never of the heap. */
#ifndef MODEL_H
#define MODEL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "brainmm/brainmm.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum model_kind { MODEL_BLOCK, MODEL_PAGES, MODEL_MEMORY_BLOCK, MODEL_OF_HEAP, MODEL_PIECE };

struct model_entry {
    unsigned char *start;
    size_t size, align;
    uint64_t stamp; /* what it holds follows from it */
    enum model_kind kind;
    unsigned heap;      /* of MODEL_OF_HEAP and MODEL_PIECE */
    bool is_known_zero; /* fresh from calloc */
    unsigned long seen; /* by that walk */
};

#define MODEL_ENTRIES 1500u
#define MODEL_HEAPS 3u

struct model {
    struct model_entry *entries; /* by address */
    unsigned count;
    uint64_t random, stamp;
    struct bmm_heap *heaps[MODEL_HEAPS];
    struct bmm_jit_heap *jits[2];
    bool is_recorded; /* sizes are known, wrong frees are reported */
    const char *wrong;
    int wrong_line;
    unsigned long operations, walks;
    struct model_entry wrong_entry;
};

#define MODEL_EXPECT(model, fact) model_expect((model), (fact), #fact, __LINE__)

/* Returns the fact; the first that is not so is kept. */
static inline bool model_expect(struct model *model, bool fact, const char *text, int line)
{
    if (!fact && model->wrong == NULL) {
        model->wrong = text;
        model->wrong_line = line;
    }
    return fact;
}

static inline uint64_t model_random(struct model *model, uint64_t below)
{
    model->random = model->random * 6364136223846793005u + 1442695040888963407u;
    return (model->random >> 24) % below;
}

/* ---- contents: the first and last bytes, and one of each page between them ---- */

static inline size_t model_next(size_t at, size_t size)
{
    if (at < 48)
        return at + 1;
    return at + 4096 < size ? at + 4096 : at + 48 < size ? size - 48 : at + 1;
}

static inline unsigned char model_byte(const struct model_entry *entry, size_t at)
{
    return (unsigned char)((entry->stamp * 0x9e3779b97f4a7c15u >> 40) + at * 7);
}

static inline void model_fill(struct model_entry *entry)
{
    for (size_t at = 0; at < entry->size; at = model_next(at, entry->size))
        entry->start[at] = model_byte(entry, at);
}

/* The first bytes of it, which were filled when it was old_size long. */
static inline bool model_holds(const struct model_entry *entry, const unsigned char *start, size_t bytes,
                               size_t old_size)
{
    for (size_t at = 0; at < bytes; at = model_next(at, old_size))
        if (start[at] != model_byte(entry, at))
            return false;
    return true;
}

/* ---- where they lie ---- */

/* The first entry that begins behind the address. */
static inline unsigned model_behind(const struct model *model, const unsigned char *address)
{
    unsigned low = 0, high = model->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (model->entries[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline struct model_entry *model_at(const struct model *model, const unsigned char *address)
{
    unsigned behind = model_behind(model, address);
    struct model_entry *entry = behind == 0 ? NULL : &model->entries[behind - 1];
    return entry != NULL && (address == entry->start || (size_t)(address - entry->start) < entry->size) ? entry : NULL;
}

static inline void model_add(struct model *model, struct model_entry entry)
{
    unsigned behind = model_behind(model, entry.start);
    const struct model_entry *before = behind == 0 ? NULL : &model->entries[behind - 1];
    size_t bytes = entry.size == 0 ? 1 : entry.size;
    MODEL_EXPECT(model, (uintptr_t)entry.start % entry.align == 0);
    MODEL_EXPECT(model,
                 before == NULL || (before->start + before->size <= entry.start && before->start != entry.start));
    MODEL_EXPECT(model, behind == model->count || entry.start + bytes <= model->entries[behind].start);
    memmove(&model->entries[behind + 1], &model->entries[behind], (model->count - behind) * sizeof entry);
    entry.stamp = ++model->stamp;
    model_fill(&entry);
    model->entries[behind] = entry;
    model->count++;
}

static inline struct model_entry model_take(struct model *model, unsigned index)
{
    struct model_entry entry = model->entries[index];
    if (!MODEL_EXPECT(model, model_holds(&entry, entry.start, entry.size, entry.size)))
        model->wrong_entry = entry;
    model->count--;
    memmove(&model->entries[index], &model->entries[index + 1], (model->count - index) * sizeof entry);
    return entry;
}

/* ---- operations ---- */

static inline size_t model_size(struct model *model)
{
    uint64_t kind = model_random(model, 1000), size = model_random(model, UINT64_MAX >> 24);
    return kind < 600   ? size % 600
           : kind < 900 ? size % 40000
           : kind < 990 ? size % 1500000
           : kind < 999 ? size % 8000000
                        : size % 100000000;
}

static inline bool model_is_zero(const unsigned char *p, size_t size)
{
    for (size_t at = 0; at < size; at = model_next(at, size))
        if (p[at] != 0)
            return false;
    return true;
}

static inline void model_allocate(struct model *model)
{
    struct model_entry entry = { .size = model_size(model), .align = 16, .kind = MODEL_BLOCK };
    switch (model_random(model, 5)) {
    case 0:
        entry.start = bmm_calloc(1, entry.size);
        MODEL_EXPECT(model, entry.start == NULL || model_is_zero(entry.start, entry.size));
        break;
    case 1:
        entry.align = (size_t)16 << model_random(model, model_random(model, 8) == 0 ? 17 : 9);
        entry.start = bmm_malloc_aligned(entry.align, entry.size);
        break;
    case 2:
        entry.start = bmm_reget(NULL, entry.size);
        break;
    case 3:
        entry.start = malloc(entry.size);
        break;
    default:
        entry.start = bmm_realloc(NULL, entry.size);
    }
    if (MODEL_EXPECT(model, entry.start != NULL))
        model_add(model, entry);
}

static inline void model_allocate_special(struct model *model)
{
    struct model_entry entry = { .align = 16 };
    switch (model_random(model, 4)) {
    case 0: {
        size_t count = 1 + model_random(model, model_random(model, 20) == 0 ? 3000 : 20);
        entry.kind = MODEL_PAGES;
        entry.size = count * BMM_PAGE_BYTES;
        entry.align = BMM_PAGE_BYTES;
        entry.start = bmm_pages_get(count);
        break;
    }
    case 1:
        entry.kind = MODEL_MEMORY_BLOCK;
        entry.size = entry.align = BMM_MEMORY_BLOCK_BYTES_MIN << 2 * model_random(model, 6);
        entry.start = bmm_memory_block_get(entry.size);
        break;
    case 2:
        entry.kind = MODEL_OF_HEAP;
        entry.heap = (unsigned)model_random(model, MODEL_HEAPS);
        entry.size = model_size(model) / 4;
        if (model_random(model, 4) != 0) {
            entry.start = bmm_heap_malloc(model->heaps[entry.heap], entry.size);
        } else {
            entry.start = bmm_heap_calloc(model->heaps[entry.heap], 1, entry.size);
            MODEL_EXPECT(model, entry.start == NULL || model_is_zero(entry.start, entry.size));
        }
        break;
    default:
        entry.kind = MODEL_PIECE;
        entry.heap = (unsigned)model_random(model, 2);
        entry.size = 1 + model_random(model, model_random(model, 20) == 0 ? 100000 : 500);
        if (model->jits[entry.heap] == NULL)
            return;
        entry.start = bmm_jit_get(model->jits[entry.heap], entry.size);
        if (entry.start == NULL) /* refused by the system */
            return;
        const void *code = bmm_jit_code(model->jits[entry.heap], entry.start);
        MODEL_EXPECT(model, code != NULL && bmm_jit_data(model->jits[entry.heap], code) == entry.start);
    }
    if (MODEL_EXPECT(model, entry.start != NULL))
        model_add(model, entry);
}

static inline void model_free_entry(struct model *model, unsigned index)
{
    struct model_entry entry = model_take(model, index);
    bool is_done = true;
    switch (entry.kind) {
    case MODEL_PAGES:
        if (model_random(model, 4) == 0)
            is_done = bmm_pages_protect(entry.start, entry.size / BMM_PAGE_BYTES, BMM_RIGHT_NONE);
        is_done = bmm_pages_free(entry.start) && is_done;
        break;
    case MODEL_MEMORY_BLOCK:
        is_done = bmm_memory_block_free(entry.start);
        break;
    case MODEL_PIECE:
        is_done = bmm_jit_free(model->jits[entry.heap], entry.start);
        break;
    case MODEL_BLOCK:
    case MODEL_OF_HEAP:
        errno = 7;
        if (model_random(model, 2) == 0)
            free(entry.start);
        else
            bmm_free(entry.start);
        is_done = errno == 7;
    }
    MODEL_EXPECT(model, is_done);
    struct bmm_memory_options options; /* it is gone: what is there, if anything, is another's */
    if (bmm_memory_options(entry.start, &options) && model_at(model, entry.start) != NULL)
        MODEL_EXPECT(model, options.start == model_at(model, entry.start)->start);
}

static inline void model_free(struct model *model)
{
    if (model->count != 0)
        model_free_entry(model, (unsigned)model_random(model, model->count));
}

static inline void model_resize(struct model *model)
{
    if (model->count == 0)
        return;
    struct model_entry entry = model_take(model, (unsigned)model_random(model, model->count));
    struct model_entry old = entry;
    bool keeps = model_random(model, 2) == 0;
    entry.size = model_random(model, 3) == 0 ? old.size + old.size / 4 + 1 : model_size(model) + 1;
    errno = 0;
    switch (entry.kind) {
    case MODEL_BLOCK:
    case MODEL_OF_HEAP:
        entry.start = keeps ? realloc(old.start, entry.size) : bmm_reget(old.start, entry.size);
        break;
    case MODEL_PAGES: {
        size_t count = entry.size / BMM_PAGE_BYTES + 1;
        entry.size = count * BMM_PAGE_BYTES;
        entry.start = keeps ? bmm_pages_realloc(old.start, count) : bmm_pages_reget(old.start, count);
        break;
    }
    case MODEL_MEMORY_BLOCK:
        MODEL_EXPECT(model, realloc(old.start, entry.size) == NULL && errno == EINVAL);
        entry = old;
        break;
    case MODEL_PIECE:
        entry = old;
    }
    size_t kept = old.size < entry.size ? old.size : entry.size;
    if (!MODEL_EXPECT(model, entry.start != NULL))
        return;
    if (keeps && !MODEL_EXPECT(model, model_holds(&old, entry.start, kept, old.size)))
        model->wrong_entry = old;
    model_add(model, entry);
}

/* What cannot be had leaves everything as it is. */
static inline void model_ask_too_much(struct model *model)
{
    if (model->count == 0)
        return;
    const struct model_entry *entry = &model->entries[model_random(model, model->count)];
    volatile size_t size = SIZE_MAX - model_random(model, 100000);
    errno = 0;
    MODEL_EXPECT(model, bmm_malloc(size) == NULL && errno == ENOMEM);
    errno = 0;
    if (entry->kind == MODEL_BLOCK || entry->kind == MODEL_OF_HEAP)
        MODEL_EXPECT(model, bmm_reget(entry->start, size) == NULL && errno == ENOMEM);
    else if (entry->kind == MODEL_PAGES)
        MODEL_EXPECT(model, bmm_pages_realloc(entry->start, size) == NULL && errno == ENOMEM);
    MODEL_EXPECT(model, model_holds(entry, entry->start, entry->size, entry->size));
}

/* A wrong pointer is refused; by the debug layer it would be reported. */
static inline void model_free_wrong(struct model *model)
{
    if (model->count == 0 || model->is_recorded)
        return;
    const struct model_entry *entry = &model->entries[model_random(model, model->count)];
    errno = 0;
    if (entry->kind != MODEL_PAGES)
        MODEL_EXPECT(model, !bmm_pages_free(entry->start) && errno == EINVAL);
    else if (entry->size > BMM_PAGE_BYTES)
        MODEL_EXPECT(model, !bmm_pages_free(entry->start + BMM_PAGE_BYTES) && errno == EINVAL);
    errno = 0;
    if (entry->kind != MODEL_MEMORY_BLOCK)
        MODEL_EXPECT(model, !bmm_memory_block_free(entry->start) && errno == EINVAL);
    errno = 0;
    if (model->jits[0] != NULL && (entry->kind != MODEL_PIECE || entry->heap != 0))
        MODEL_EXPECT(model, !bmm_jit_free(model->jits[0], entry->start) && errno == EINVAL);
}

static inline void model_ask(struct model *model)
{
    static const enum bmm_memory_kind kinds[] = {
        [MODEL_PAGES] = BMM_MEMORY_PAGES, [MODEL_MEMORY_BLOCK] = BMM_MEMORY_BLOCK, [MODEL_PIECE] = BMM_MEMORY_JIT
    };
    struct bmm_memory_options options;
    if (model->count == 0)
        return;
    const struct model_entry *entry = &model->entries[model_random(model, model->count)];
    size_t offset = entry->size == 0 ? 0 : model_random(model, entry->size);
    if (!MODEL_EXPECT(model, bmm_memory_options(entry->start + offset, &options))) {
        model->wrong_entry = *entry;
        return;
    }
    MODEL_EXPECT(model, options.start == entry->start && options.block_size >= entry->size);
    MODEL_EXPECT(model, model->is_recorded || entry->kind == MODEL_PIECE ? options.size == entry->size
                                                                         : options.size >= entry->size);
    MODEL_EXPECT(model, (options.rights & BMM_RIGHT_WRITE) != 0);
    if (kinds[entry->kind % 5] != 0)
        MODEL_EXPECT(model, options.kind == kinds[entry->kind]);
    else
        MODEL_EXPECT(model, options.kind >= BMM_MEMORY_SMALL && options.kind <= BMM_MEMORY_LARGE);
    if (entry->kind != MODEL_PIECE && entry->kind != MODEL_PAGES)
        MODEL_EXPECT(model, options.align == entry->align);
    if (entry->kind != MODEL_PIECE)
        MODEL_EXPECT(model, bmm_usable_size(entry->start) >= entry->size);
    for (unsigned heap = 0; heap < MODEL_HEAPS; heap++)
        MODEL_EXPECT(model, bmm_heap_owns(model->heaps[heap], entry->start) ==
                                (entry->kind == MODEL_OF_HEAP && entry->heap == heap));
    /* Any address near: what is found there is no part of what we know to be something else. */
    const unsigned char *near = entry->start + model_random(model, 200000) - 100000;
    if (bmm_memory_options(near, &options) && model_at(model, near) != NULL)
        MODEL_EXPECT(model, options.start == model_at(model, near)->start);
    else if (model_at(model, near) != NULL)
        MODEL_EXPECT(model, !"a live block is not known");
}

static inline void model_end_heap(struct model *model)
{
    unsigned heap = (unsigned)model_random(model, MODEL_HEAPS), jit = (unsigned)model_random(model, 2), kept = 0;
    bool is_jit = model_random(model, 4) == 0;
    for (unsigned i = 0; i < model->count; i++) {
        const struct model_entry *entry = &model->entries[i];
        bool goes = is_jit ? entry->kind == MODEL_PIECE && entry->heap == jit
                           : entry->kind == MODEL_OF_HEAP && entry->heap == heap;
        if (goes)
            MODEL_EXPECT(model, model_holds(entry, entry->start, entry->size, entry->size));
        else
            model->entries[kept++] = *entry;
    }
    model->count = kept;
    if (is_jit) {
        if (model->jits[jit] != NULL)
            bmm_jit_clear(model->jits[jit]);
    } else if (model_random(model, 2) == 0) {
        bmm_heap_clear(model->heaps[heap]);
    } else {
        bmm_heap_destroy(model->heaps[heap]);
        MODEL_EXPECT(model, (model->heaps[heap] = bmm_heap_create()) != NULL);
    }
}

struct model_walk {
    struct model *model;
    unsigned found;
};

static inline bool model_visit(const struct bmm_memory_options *block, void *context)
{
    struct model_walk *walk = context;
    struct model_entry *entry = model_at(walk->model, block->start);
    if (entry != NULL && entry->start == block->start) {
        if (!MODEL_EXPECT(walk->model, entry->seen != walk->model->walks))
            walk->model->wrong_entry = *entry;
        entry->seen = walk->model->walks;
        walk->found++;
    }
    return true;
}

static inline void model_look_at_all(struct model *model)
{
    static __thread struct bmm_stats stats;
    struct model_walk walk = { model, 0 };
    unsigned pieces = 0;
    size_t live = 0;
    model->walks++;
    bmm_heap_walk(model_visit, &walk);
    for (unsigned i = 0; i < model->count; i++) {
        const struct model_entry *entry = &model->entries[i];
        pieces += entry->kind == MODEL_PIECE;
        if (!MODEL_EXPECT(model, model_holds(entry, entry->start, entry->size, entry->size)))
            model->wrong_entry = *entry;
        if (!MODEL_EXPECT(model, entry->kind == MODEL_PIECE || entry->seen == model->walks))
            model->wrong_entry = *entry;
    }
    MODEL_EXPECT(model, walk.found == model->count - pieces);
    bmm_stats(&stats);
    for (unsigned kind = BMM_MEMORY_SMALL; kind <= BMM_MEMORY_KIND_LAST; kind++)
        live += stats.kinds[kind].live_count;
    MODEL_EXPECT(model, live >= model->count && stats.kinds[BMM_MEMORY_JIT].live_count >= pieces);
}

static inline void model_rare(struct model *model)
{
    switch (model_random(model, 6)) {
    case 0:
        bmm_thread_heap_minimize();
        break;
    case 1:
        bmm_heap_minimize();
        break;
    case 2:
    case 3:
        model_end_heap(model);
        break;
    default:
        model_look_at_all(model);
    }
}

static inline void model_step(struct model *model)
{
    uint64_t what = model_random(model, 1000);
    /* Full or empty, by turns, so that memory comes and goes. */
    unsigned most = (model->operations / 20000) % 2 == 0 ? MODEL_ENTRIES - 2 : MODEL_ENTRIES / 10;
    model->operations++;
    if (what < 2)
        model_rare(model);
    else if (what < 10)
        model_ask_too_much(model);
    else if (what < 20)
        model_free_wrong(model);
    else if (what < 120)
        model_ask(model);
    else if (what < 320)
        model_resize(model);
    else if (model->count >= most || what < 600)
        model_free(model);
    else if (what < 900)
        model_allocate(model);
    else
        model_allocate_special(model);
}

static inline void model_begin(struct model *model, uint64_t seed)
{
    memset(model, 0, sizeof *model);
    model->random = seed;
    model->entries =
        mmap(NULL, MODEL_ENTRIES * sizeof *model->entries, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MODEL_EXPECT(model, model->entries != MAP_FAILED);
    for (unsigned i = 0; i < MODEL_HEAPS; i++)
        MODEL_EXPECT(model, (model->heaps[i] = bmm_heap_create()) != NULL);
    for (unsigned i = 0; i < 2; i++)
        model->jits[i] = bmm_jit_create(i);
    struct bmm_memory_options options;
    void *p = bmm_malloc(1);
    model->is_recorded = bmm_memory_options(p, &options) && options.size == 1;
    bmm_free(p);
}

static inline void model_run(struct model *model, unsigned long operations)
{
    for (unsigned long i = 0; i < operations && model->wrong == NULL; i++)
        model_step(model);
}

static inline void model_end(struct model *model)
{
    while (model->count != 0 && model->wrong == NULL)
        model_free_entry(model, model->count - 1);
    for (unsigned i = 0; i < MODEL_HEAPS; i++)
        bmm_heap_destroy(model->heaps[i]);
    for (unsigned i = 0; i < 2; i++)
        bmm_jit_destroy(model->jits[i]);
    munmap(model->entries, MODEL_ENTRIES * sizeof *model->entries);
}

#endif
