/* What the secure variant does when spans come and go; nothing in the others. */
#ifndef BMM_SECURE_SPAN_H
#define BMM_SECURE_SPAN_H

#include "core/span.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef BMM_SECURE

/* What an arena outside the window needs for its tables. */
size_t bmm__secure_bytes(size_t arena_bytes);

/* Gives a span of slots its table of links. */
void bmm__secure_open(struct bmm__span *span, uint64_t inverse);

/* The memory of granules of the window that nobody uses was given back: so is that of their tables. */
void bmm__secure_purged(uintptr_t start, size_t bytes);

/* Takes over what the remote word of a span says that was sent, as its owner would: somebody else has claimed it. */
void bmm__secure_receive_all(const struct bmm__span *span, uint64_t word);

/* All slots of a span of slots, which is the caller's alone, are free from now on, whatever they were. */
void bmm__secure_forget(const struct bmm__span *span);

/* Stops the program if a slot of the span, which has no live one, is in use or sent. */
void bmm__secure_close(const struct bmm__span *span);

#define BMM__GUARD_GRANULES 1 /* between tables and blocks */
#define BMM__HAS_ZEROS false  /* window.h */

#else

static inline void bmm__secure_start(void)
{
}

static inline void bmm__secure_receive_all(const struct bmm__span *span, uint64_t word)
{
    (void)span, (void)word;
}

static inline bool bmm__secure_extend(size_t granules, size_t capacity)
{
    (void)granules, (void)capacity;
    return true;
}

static inline size_t bmm__secure_bytes(size_t arena_bytes)
{
    (void)arena_bytes;
    return 0;
}

static inline void bmm__secure_open(struct bmm__span *span, uint64_t inverse)
{
    (void)span, (void)inverse;
}

static inline void bmm__secure_purged(uintptr_t start, size_t bytes)
{
    (void)start, (void)bytes;
}

static inline void bmm__secure_forget(const struct bmm__span *span)
{
    (void)span;
}

static inline void bmm__secure_close(const struct bmm__span *span)
{
    (void)span;
}

#define BMM__GUARD_GRANULES 0 /* SpeedTest was 30 % slower with one */
#define BMM__HAS_ZEROS true

#endif

#endif
