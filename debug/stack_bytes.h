/* A cursor over unwind tables: reads the encodings of DWARF and never past the end it was given. What cannot be read
 * sets is_bad and yields 0, so that a caller may read on and ask once. */
#ifndef BMM_STACK_BYTES_H
#define BMM_STACK_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct bmm__bytes {
    const uint8_t *at, *end;
    bool is_bad;
};

/* Pointer encodings (DW_EH_PE_*): the low four bits are the format, then what it is relative to. */
enum {
    BMM__PTR_OMIT = 0xff,
    BMM__PTR_INDIRECT = 0x80,
    BMM__PTR_RELATION = 0x70,
    BMM__PTR_FORMAT = 0x0f,
    BMM__PTR_PC_RELATIVE = 0x10,
    BMM__PTR_DATA_RELATIVE = 0x30,
    BMM__PTR_TABLE = 0x3b /* data, signed 4 bytes */
};

static inline uint64_t bmm__bytes_fixed(struct bmm__bytes *b, unsigned count)
{
    uint64_t value = 0;
    if ((uintptr_t)(b->end - b->at) < count) {
        b->is_bad = true;
        b->at = b->end;
        return 0;
    }
    memcpy(&value, b->at, count); /* little-endian machines only, as are all that stack_arch.h knows */
    b->at += count;
    return value;
}

static inline int64_t bmm__bytes_signed(struct bmm__bytes *b, unsigned count)
{
    unsigned shift = 64 - 8 * count;
    return (int64_t)(bmm__bytes_fixed(b, count) << shift) >> shift;
}

/* Seven bits a byte, the lowest first; *shift: how many there were, *last: the byte that ended it. */
static inline uint64_t bmm__bytes_leb(struct bmm__bytes *b, unsigned *shift, uint64_t *last)
{
    uint64_t value = 0;
    *shift = 0;
    do {
        *last = bmm__bytes_fixed(b, 1);
        if (*shift < 64)
            value |= (*last & 0x7f) << *shift;
        *shift += 7;
    } while (*last & 0x80);
    return value;
}

static inline uint64_t bmm__bytes_uleb(struct bmm__bytes *b)
{
    uint64_t last;
    unsigned shift;
    return bmm__bytes_leb(b, &shift, &last);
}

static inline int64_t bmm__bytes_sleb(struct bmm__bytes *b)
{
    uint64_t last;
    unsigned shift;
    uint64_t value = bmm__bytes_leb(b, &shift, &last);
    if (shift < 64 && (last & 0x40))
        value |= ~(uint64_t)0 << shift;
    return (int64_t)value;
}

static inline struct bmm__bytes bmm__bytes_take(struct bmm__bytes *b, uint64_t count)
{
    struct bmm__bytes part = { b->at, b->at, b->is_bad };
    if (count > (uint64_t)(b->end - b->at)) {
        b->is_bad = part.is_bad = true;
        b->at = b->end;
        return part;
    }
    b->at += count;
    part.end = b->at;
    return part;
}

/* A pointer in the given encoding. data_base: what data-relative ones are relative to. Indirect ones are not followed. */
static inline uintptr_t bmm__bytes_pointer(struct bmm__bytes *b, uint8_t encoding, uintptr_t data_base)
{
    uintptr_t place = (uintptr_t)b->at;
    uint64_t value;
    switch (encoding & BMM__PTR_FORMAT) {
    case 0x0:
    case 0x4:
    case 0xc:
        value = bmm__bytes_fixed(b, 8);
        break;
    case 0x1:
        value = bmm__bytes_uleb(b);
        break;
    case 0x2:
        value = bmm__bytes_fixed(b, 2);
        break;
    case 0x3:
        value = bmm__bytes_fixed(b, 4);
        break;
    case 0x9:
        value = (uint64_t)bmm__bytes_sleb(b);
        break;
    case 0xa:
        value = (uint64_t)bmm__bytes_signed(b, 2);
        break;
    case 0xb:
        value = (uint64_t)bmm__bytes_signed(b, 4);
        break;
    default:
        b->is_bad = true;
        return 0;
    }
    switch (encoding & BMM__PTR_RELATION) {
    case 0:
        break;
    case BMM__PTR_PC_RELATIVE:
        value += place;
        break;
    case BMM__PTR_DATA_RELATIVE:
        value += data_base;
        break;
    default:
        b->is_bad = true;
        return 0;
    }
    return (uintptr_t)value;
}

#endif
