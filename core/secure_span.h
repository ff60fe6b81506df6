/* What the secure variant does when spans come and go; nothing in the others. */
#ifndef BMM_SECURE_SPAN_H
#define BMM_SECURE_SPAN_H

#include "core/span.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef BMM_SECURE

/* What an arena outside the window needs for its states. */
static inline size_t bmm__secure_bytes(size_t arena_bytes)
{
    return (arena_bytes / 16 + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
}

/* A span outside the window has its part of them for its side, which has no other user. */
void bmm__secure_open(struct bmm__span *span);

/* Takes over what the remote word of a span says that was sent, as its owner would: somebody else has claimed it. */
void bmm__secure_receive_all(const struct bmm__span *span, uint64_t word);

/* Stops the program if a slot of the span, which has no live one, is in use or sent. */
void bmm__secure_close(const struct bmm__span *span);

uint64_t bmm__secure_random(void);

/* A span's list begins a life; another one stands for it. */
static inline void bmm__secure_new_key(struct bmm__list *list)
{
    list->key = bmm__secure_mix((uintptr_t)bmm__secure_random(), bmm__secure_keys[BMM__KEY_LIFE]);
}
static inline void bmm__secure_copy_key(struct bmm__list *list, const struct bmm__list *of)
{
    list->key = of->key;
}

/* X3 */
static inline bool bmm__secure_may_show(const struct bmm__span *span)
{
    return span->entries != NULL;
}

#define BMM__SLOTS_ARE_SHUFFLED true
#define BMM__GUARD_GRANULES 1 /* between tables and blocks */

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

static inline void bmm__secure_extended(size_t granules)
{
    (void)granules;
}

static inline size_t bmm__secure_bytes(size_t arena_bytes)
{
    (void)arena_bytes;
    return 0;
}

static inline void bmm__secure_open(struct bmm__span *span)
{
    (void)span;
}

static inline bool bmm__secure_may_show(const struct bmm__span *span)
{
    (void)span;
    return true;
}

static inline void bmm__secure_close(const struct bmm__span *span)
{
    (void)span;
}

static inline uint64_t bmm__secure_random(void)
{
    return 0;
}

static inline void bmm__secure_new_key(struct bmm__list *list)
{
    (void)list;
}

static inline void bmm__secure_copy_key(struct bmm__list *list, const struct bmm__list *of)
{
    (void)list, (void)of;
}

#define BMM__SLOTS_ARE_SHUFFLED false
#define BMM__GUARD_GRANULES 0 /* SpeedTest was 30 % slower with one */

#endif

/* The numbers below count in random order: Fisher and Yates. */
static inline void bmm__slots_shuffle(uint16_t *order, uint32_t count)
{
    uint64_t random = bmm__secure_random() | 1;
    for (uint32_t i = 0; i < count; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17; /* Marsaglia's xorshift */
        uint32_t at = (uint32_t)((random >> 32) * (i + 1) >> 32);
        order[i] = order[at];
        order[at] = (uint16_t)i;
    }
}

#endif
