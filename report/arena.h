/* Memory of a report: handed out in order, given back all at once.
 *
 * Words. *Arena*: blocks of memory that only grow; nothing in it is freed alone, so a report may point from anywhere
 * to anywhere in it. *Grown array*: an ordinary heap array that doubles.
 *
 * The report runs in a process of its own that can do nothing useful without memory: running out of it ends the
 * process with one line and status 2. No function here returns NULL.
 */
#ifndef BMM_REPORT_ARENA_H
#define BMM_REPORT_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bmm__arena_block;

/* All zero is an empty arena. */
struct bmm__arena {
    struct bmm__arena_block *blocks; /* newest first */
    unsigned char *next, *end;       /* what is left of the newest */
};

/* 16-aligned; _zero: zeroed. */
void *bmm__arena_alloc(struct bmm__arena *arena, size_t bytes);
void *bmm__arena_zero(struct bmm__arena *arena, size_t count, size_t element_bytes);
char *bmm__arena_text(struct bmm__arena *arena, const char *text, size_t bytes); /* a copy, NUL added */
char *bmm__arena_printf(struct bmm__arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bmm__arena_free(struct bmm__arena *arena);

/* An array with room for at least `count` elements, moved if need be; new room is not initialised. */
void *bmm__grow_slowly(void *items, uint32_t *capacity, size_t count, size_t element_bytes); /* where there is none */
static inline void *bmm__grow(void *items, uint32_t *capacity, size_t count, size_t element_bytes)
{
    return count <= *capacity ? items : bmm__grow_slowly(items, capacity, count, element_bytes);
}

/* By setrlimit: what is not needed could fail for want of memory here, or leave none for the rest, which ends the process. */
bool bmm__is_memory_limited(void);

/* Has the system give memory for so many bytes at once, at most 31 MiB, of which the next allocations are made: a fault for each page
 * takes many times as long. From then on up to 64 MiB that are free stay with the process. Nothing where memory is limited. */
void bmm__prefault(size_t bytes);

/* Lets the next allocations come by 2 MiB each, as far as they are used at all, where the system has pages of that size. Otherwise as
 * bmm__prefault. */
void bmm__expect_much(void);

/* malloc and calloc that do not return without memory. */
void *bmm__must_alloc(size_t bytes);
void *bmm__must_zero(size_t count, size_t element_bytes);

#endif
