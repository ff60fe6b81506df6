/* See stack_instruction.h. The tables of opcodes are those of the processor's manuals (Intel SDM, volume 2, appendix A). */
#include "stack_instruction.h"

#include <stddef.h>
#include <string.h>

/* What stands behind an opcode, one letter each:
 *   .  nothing   m  modrm   b  modrm and 1 byte   z  modrm and 4 bytes (2 with prefix 66)
 *   1  1 byte   2  2 bytes   3  3 bytes   4  4 bytes (2 with prefix 66)   j  4 bytes, always   8  as wide as an address
 *   v  4 bytes (2 with prefix 66, 8 if wide)   t, T  modrm, and if reg is 0 or 1 one byte, or 4 (2)
 *   x  no instruction, or a prefix */
static const char one_byte[] = "mmmm14xxmmmm14xx"   /* 00 */
                               "mmmm14xxmmmm14xx"   /* 10 */
                               "mmmm14xxmmmm14xx"   /* 20 */
                               "mmmm14xxmmmm14xx"   /* 30 */
                               "xxxxxxxxxxxxxxxx"   /* 40: REX */
                               "................"   /* 50 */
                               "xxxmxxxx4z1b...."   /* 60 */
                               "1111111111111111"   /* 70 */
                               "bzxbmmmmmmmmmmmm"   /* 80 */
                               "..........x....."   /* 90 */
                               "8888....14......"   /* a0 */
                               "11111111vvvvvvvv"   /* b0 */
                               "bb2.xxbz3.2..1x."   /* c0 */
                               "mmmmxxx.mmmmmmmm"   /* d0 */
                               "11111111jjx1...."   /* e0 */
                               "x.xx..tT......mm";  /* f0 */
static const char two_bytes[] = "mmmmx.....x.xmxx"  /* 00 */
                                "mmmmmmmmmmmmmmmm"  /* 10 */
                                "mmmmxxxxmmmmmmmm"  /* 20 */
                                "......x.xxxxxxxx"  /* 30 */
                                "mmmmmmmmmmmmmmmm"  /* 40 */
                                "mmmmmmmmmmmmmmmm"  /* 50 */
                                "mmmmmmmmmmmmmmmm"  /* 60 */
                                "bbbbmmm.mmxxmmmm"  /* 70 */
                                "jjjjjjjjjjjjjjjj"  /* 80 */
                                "mmmmmmmmmmmmmmmm"  /* 90 */
                                "...mbmxx...mbmmm"  /* a0 */
                                "mmmmmmmmmmbmmmmm"  /* b0 */
                                "mmbmbbbm........"  /* c0 */
                                "mmmmmmmmmmmmmmmm"  /* d0 */
                                "mmmmmmmmmmmmmmmm"  /* e0 */
                                "mmmmmmmmmmmmmmmm"; /* f0 */
_Static_assert(sizeof one_byte == 257 && sizeof two_bytes == 257, "a letter for every opcode");

struct reader {
    const uint8_t *at, *end;
    bool is_bad;
};

static uint8_t take(struct reader *r)
{
    if (r->at == r->end) {
        r->is_bad = true;
        return 0;
    }
    return *r->at++;
}

static int64_t take_signed(struct reader *r, unsigned count)
{
    uint64_t value = 0;
    if ((uintptr_t)(r->end - r->at) < count) {
        r->is_bad = true;
        return 0;
    }
    memcpy(&value, r->at, count);
    r->at += count;
    unsigned shift = 64 - 8 * count;
    return (int64_t)(value << shift) >> shift;
}

struct prefixes {
    bool is_short, is_address_short, is_other;
    uint8_t rex; /* bits W R X B */
};

/* The opcode itself, *b being the first byte that is no prefix of old. */
static bool read_opcode(struct reader *r, struct prefixes *prefixes, struct bmm__instruction *in)
{
    uint8_t first = take(r);
    in->third = BMM__CODE_NONE;
    if (first == 0xc5 || first == 0xc4 || first == 0x62) { /* registers' high bits come inverted */
        uint8_t a = take(r), b = first == 0xc5 ? a : take(r), c = first == 0x62 ? take(r) : 0;
        (void)c;
        in->is_vector = true;
        prefixes->rex = (uint8_t)(~a >> 5 & 4); /* R */
        in->map = BMM__MAP_0F;
        if (first != 0xc5) {
            prefixes->rex |= (uint8_t)((~a >> 5 & 3) | (b >> 4 & 8));
            unsigned map = a & (first == 0x62 ? 7 : 31);
            if (map < 1 || map > 3)
                return false;
            in->map = (uint8_t)(BMM__MAP_0F + map - 1);
        }
        in->third = (uint8_t)(~b >> 3 & 15);
        in->opcode = take(r);
        return true;
    }
    in->opcode = first;
    if (first != 0x0f)
        return true;
    in->map = BMM__MAP_0F;
    in->opcode = take(r);
    if (in->opcode == 0x38 || in->opcode == 0x3a) {
        in->map = in->opcode == 0x38 ? BMM__MAP_0F38 : BMM__MAP_0F3A;
        in->opcode = take(r);
    }
    return true;
}

static void read_modrm(struct reader *r, uint8_t rex, struct bmm__instruction *in)
{
    uint8_t modrm = take(r);
    in->has_modrm = true;
    in->mode = modrm >> 6;
    in->reg = (uint8_t)((modrm >> 3 & 7) | (rex & 4) << 1);
    in->rm = (uint8_t)((modrm & 7) | (rex & 1) << 3);
    in->base = BMM__CODE_NONE;
    if (in->mode == 3)
        return;
    unsigned wide_bytes = in->mode == 1 ? 1 : in->mode == 2 ? 4 : 0;
    in->base = in->rm;
    if ((modrm & 7) == 4) { /* a SIB byte */
        uint8_t sib = take(r);
        in->has_index = (sib >> 3 & 7) != 4 || (rex & 2) != 0;
        in->base = (uint8_t)((sib & 7) | (rex & 1) << 3);
        if ((sib & 7) == 5 && in->mode == 0) {
            in->base = BMM__CODE_NONE;
            wide_bytes = 4;
        }
    } else if ((modrm & 7) == 5 && in->mode == 0) {
        in->base = BMM__CODE_RIP;
        wide_bytes = 4;
    }
    if (wide_bytes != 0)
        in->displacement = (int32_t)take_signed(r, wide_bytes);
}

/* False: no instruction. */
static bool read_rest(struct reader *r, char letter, const struct prefixes *prefixes, struct bmm__instruction *in)
{
    unsigned narrow = in->is_short && !in->is_wide ? 2 : 4, count = 0;
    if (letter == 'x')
        return false;
    if (strchr("mbztT", letter) != NULL)
        read_modrm(r, prefixes->rex, in);
    switch (letter) {
    case '1':
    case 'b':
        count = 1;
        break;
    case '2':
        count = 2;
        break;
    case '3':
        count = 3;
        break;
    case 'j':
        count = 4;
        break;
    case '4':
    case 'z':
        count = narrow;
        break;
    case 'v':
        count = in->is_wide ? 8 : narrow;
        break;
    case '8':
        count = prefixes->is_address_short ? 4 : 8;
        break;
    case 't':
    case 'T':
        count = (in->reg & 7) > 1 ? 0 : letter == 't' ? 1 : narrow;
        break;
    default:
        break;
    }
    if (count != 0)
        in->immediate = take_signed(r, count);
    return true;
}

bool bmm__instruction_decode(const uint8_t *code, unsigned count, struct bmm__instruction *in)
{
    struct reader r = { code, code + (count < BMM__INSTRUCTION_BYTES_MAX ? count : BMM__INSTRUCTION_BYTES_MAX), false };
    struct prefixes prefixes = { false, false, false, 0 };
    *in = (struct bmm__instruction){ .map = BMM__MAP_ONE, .base = BMM__CODE_NONE };
    for (bool is_prefix = true; is_prefix && r.at < r.end;) {
        switch (*r.at) {
        case 0x66:
            prefixes.is_short = true;
            r.at++;
            break;
        case 0x67:
            prefixes.is_address_short = true;
            r.at++;
            break;
        case 0x26: /* segments, repetitions, lock: they change nothing that is asked here */
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
        case 0xf0:
        case 0xf2:
        case 0xf3:
            prefixes.is_other = true;
            r.at++;
            break;
        default:
            is_prefix = false;
        }
    }
    if (r.at < r.end && (*r.at & 0xf0) == 0x40)
        prefixes.rex = take(&r) & 15;
    if (!read_opcode(&r, &prefixes, in))
        return false;
    in->is_wide = (prefixes.rex & 8) != 0;
    in->is_short = prefixes.is_short;
    in->is_exact = !prefixes.is_short && !prefixes.is_address_short && !prefixes.is_other;
    char letter = in->map == BMM__MAP_ONE    ? one_byte[in->opcode]
                  : in->map == BMM__MAP_0F   ? two_bytes[in->opcode]
                  : in->map == BMM__MAP_0F38 ? 'm'
                                             : 'b';
    if (in->map == BMM__MAP_ONE && (in->opcode & 0xf0) == 0x50)
        in->rm = (uint8_t)((in->opcode & 7) | (prefixes.rex & 1) << 3); /* push and pop */
    if (!read_rest(&r, letter, &prefixes, in) || r.is_bad)
        return false;
    in->bytes = (uint8_t)(r.at - code);
    return true;
}
