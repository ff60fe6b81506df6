#define _GNU_SOURCE
#include "report/arena.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)256 * 1024)
#define THRESHOLD ((size_t)32 << 20)      /* as much as glibc takes for M_MMAP_THRESHOLD */
#define PREFAULTED_MAX ((size_t)31 << 20) /* below it: what is larger goes back to the system when it is freed */
#define EXPECTED_BYTES ((size_t)24 << 20) /* for some ten thousand frames */

struct bmm__arena_block {
    struct bmm__arena_block *older;
    _Alignas(16) unsigned char bytes[];
};

static _Noreturn void out_of_memory(void)
{
    fputs("brainmm: out of memory while making the report\n", stderr);
    exit(2);
}

bool bmm__is_memory_limited(void)
{
    struct rlimit space, data;
    return getrlimit(RLIMIT_AS, &space) != 0 || space.rlim_cur != RLIM_INFINITY || getrlimit(RLIMIT_DATA, &data) != 0 ||
           data.rlim_cur != RLIM_INFINITY;
}

/* Of the pages that are wholly within it. An advice which the system does not know changes nothing. */
static void advise(char *memory, size_t bytes, int advice)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), before = -(uintptr_t)memory & (page - 1);
    if (bytes > before)
        madvise(memory + before, (bytes - before) & ~(page - 1), advice);
}

static void populate(char *memory, size_t bytes)
{
#ifdef MADV_POPULATE_WRITE
    advise(memory, bytes, MADV_POPULATE_WRITE);
#else
    (void)memory, (void)bytes;
#endif
}

/* Where the next allocations are made, if nothing smaller is free; the caller gives it back. NULL: it can't be had. */
static char *grow_heap(size_t bytes)
{
#ifdef M_TRIM_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, (int)THRESHOLD); /* else large arrays come and go page by page */
    mallopt(M_TRIM_THRESHOLD, 2 * (int)THRESHOLD);
    return malloc(bytes);
#else
    (void)bytes;
    return NULL;
#endif
}

void bmm__prefault(size_t bytes)
{
    static size_t most;
    bytes = bytes < PREFAULTED_MAX ? bytes : PREFAULTED_MAX;
    if (bytes <= most || bmm__is_memory_limited())
        return;
    most = bytes;
    char *memory = grow_heap(bytes);
    if (memory != NULL)
        populate(memory, bytes);
    free(memory);
}

void bmm__expect_much(void)
{
    static bool is_known;
    if (is_known || bmm__is_memory_limited())
        return;
    is_known = true;
    char *memory = grow_heap(EXPECTED_BYTES);
    if (memory != NULL)
        advise(memory, EXPECTED_BYTES, MADV_HUGEPAGE);
    free(memory);
}

void *bmm__must_alloc(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);
    if (memory == NULL)
        out_of_memory();
    return memory;
}

void *bmm__must_zero(size_t count, size_t element_bytes)
{
    void *memory = calloc(count > 0 ? count : 1, element_bytes);
    if (memory == NULL)
        out_of_memory();
    return memory;
}

void *bmm__arena_alloc(struct bmm__arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        out_of_memory();
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes > (size_t)(arena->end - arena->next)) {
        size_t room = bytes > BLOCK_BYTES / 4 ? bytes : BLOCK_BYTES;
        struct bmm__arena_block *block = bmm__must_alloc(sizeof *block + room);
        if (room != BLOCK_BYTES && arena->blocks != NULL) {
            /* A large piece gets a block of its own behind the newest, whose rest stays in use. */
            block->older = arena->blocks->older;
            arena->blocks->older = block;
            return block->bytes;
        }
        if (arena->blocks != NULL && !bmm__is_memory_limited()) /* who has needed one will need all of the next */
            populate((char *)block, sizeof *block + room);
        block->older = arena->blocks;
        arena->blocks = block;
        arena->next = block->bytes;
        arena->end = block->bytes + room;
    }
    void *memory = arena->next;
    arena->next += bytes;
    return memory;
}

void *bmm__arena_zero(struct bmm__arena *arena, size_t count, size_t element_bytes)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, element_bytes, &bytes))
        out_of_memory();
    void *memory = bmm__arena_alloc(arena, bytes);
    return bytes > 0 ? memset(memory, 0, bytes) : memory;
}

char *bmm__arena_text(struct bmm__arena *arena, const char *text, size_t bytes)
{
    char *copy = bmm__arena_alloc(arena, bytes + 1);
    memcpy(copy, text, bytes);
    copy[bytes] = 0;
    return copy;
}

char *bmm__arena_printf(struct bmm__arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = bmm__arena_alloc(arena, (size_t)(length > 0 ? length : 0) + 1);
    *text = 0;
    vsnprintf(text, (size_t)(length > 0 ? length : 0) + 1, format, again);
    va_end(again);
    return text;
}

void bmm__arena_free(struct bmm__arena *arena)
{
    while (arena->blocks != NULL) {
        struct bmm__arena_block *older = arena->blocks->older;
        free(arena->blocks);
        arena->blocks = older;
    }
    arena->next = arena->end = NULL;
}

void *bmm__grow_slowly(void *items, uint32_t *capacity, size_t count, size_t element_bytes)
{
    size_t room = *capacity > 0 ? *capacity : 16;
    while (room < count)
        room *= 2;
    if (room > UINT32_MAX)
        out_of_memory();
    void *moved = reallocarray(items, room, element_bytes);
    if (moved == NULL)
        out_of_memory();
    *capacity = (uint32_t)room;
    return moved;
}
