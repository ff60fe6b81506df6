/* Size classes: steps of 16 bytes to 128, then eight steps per doubling to 32 KiB (at most 12.5 % waste inside). */
#ifndef BMM_SIZE_CLASS_H
#define BMM_SIZE_CLASS_H

#include <stddef.h>
#include <stdint.h>

#define BMM__SLOT_BYTES_MAX ((size_t)32768)
#define BMM__CLASS_COUNT 72
#define BMM__TINY_BYTES_MAX ((size_t)128) /* in steps of 16 bytes */
#define BMM__TINY_CLASS_COUNT 8
/* Tables lead from a size to its bin (heap.h): up to here by the size itself, above by steps, of which every class above
 * is a multiple. */
#define BMM__SMALL_BYTES_MAX ((size_t)1024)
#define BMM__MEDIUM_BYTES_STEP ((size_t)128)

/* 128 < size ≤ BMM__SLOT_BYTES_MAX */
static inline unsigned bmm__medium_class(size_t size)
{
    unsigned top = 63u ^ (unsigned)__builtin_clzll(size - 1);  /* 7 … 14; ^ is what the compiler can take away */
    return 8 * top - 56 + (unsigned)((size - 1) >> (top - 3)); /* the last is 8 … 15 */
}

/* 1 ≤ size ≤ BMM__SLOT_BYTES_MAX */
static inline unsigned bmm__size_class(size_t size)
{
    return size <= 128 ? (unsigned)((size + 15) / 16 - 1) : bmm__medium_class(size);
}

static inline uint32_t bmm__class_bytes(unsigned index)
{
    if (index < 8)
        return (index + 1) * 16;
    unsigned top = index / 8 + 6;
    return (1u << top) + ((index % 8 + 1) << (top - 3));
}

#endif
