/* COM's IMalloc as a table of functions. What the heap has as it stands is in it under its own name, so that a debugger's stacks
 * begin with the program's frame. */
#include "brainmm/brainmm.h"

static size_t get_size(const void *p)
{
    return p == NULL ? (size_t)-1 : bmm_usable_size(p);
}

/* Pieces of JIT heaps are known as well, but no blocks: free refuses them. */
static bool is_block(const void *p)
{
    struct bmm_memory_options options;
    return bmm_memory_options(p, &options) && options.start == p && options.kind != BMM_MEMORY_JIT;
}

static int did_alloc(const void *p)
{
    return p == NULL ? -1 : is_block(p);
}

static void heap_minimize(void)
{
    bmm_heap_minimize();
}

static const struct bmm_imalloc table = {
    .alloc = bmm_malloc,
    .realloc = bmm_realloc,
    .free = bmm_free,
    .get_size = get_size,
    .did_alloc = did_alloc,
    .heap_minimize = heap_minimize,
};

const struct bmm_imalloc *bmm_imalloc(void)
{
    return &table;
}
