/* bmm_move16: memory moved by units of 16 bytes, between addresses that are multiples of 16.
 *
 * Words. *Vector*: what one register holds: 16 bytes, 32 with AVX, 64 with AVX-512. *Head*, *tail*: the first and the last
 * vectors of what is moved.
 *
 * A few vectors are all loaded before any is stored, so it does not matter how source and dest overlap. As many are taken from
 * the start as from the end, or more; what belongs to both is stored twice.
 *
 *     ├─ head, 1 to 8 ─────┤
 *                     ├─ tail, 1 to 8 ─┤
 *
 * Of many, head and tail are loaded first. A loop then moves what lies between, and some of them, from the end that
 * overwrites nothing that is still wanted; it stores at multiples of the vector's size. What it leaves over is stored last.
 *
 *     up      head │ ──────► loop │ tail      dest does not begin inside of source
 *     down    head │ loop ◄────── │ tail      dest does not end inside of source
 *
 * What the processor has is asked at the first call, which may come before any constructor: by cpuid, and by what the system
 * keeps of a thread's registers. AVX-512 moves all but 257 to 511 bytes, where eight vectors of AVX reach across fewer lines.
 * (AVX from 512 on takes as long, but a fifth longer while another thread uses the same processor: more instructions. Tried:
 * `rep movsb` from 2 KiB on, as glibc's memmove has it. It took as long as the loop, and up to 30 % longer below 16 KiB. Two and
 * eight vectors a turn: slower. Measured on Zen 4, by bench/move16.c.)
 */
#include "core/assert.h"
#include "core/atomic.h"

#include "brainmm/brainmm.h"

#include <stdint.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))
/* Between stores: they are quickest in the order of their addresses. And the loop does not become a call of memmove. */
#define KEEP_ORDER __asm__("" : : : "memory")

/* The loop fetches the lines it comes to next, where source and dest are in the second cache (65536 bytes: 1.09 of memmove's time
 * without, 0.99 with). What lies in the first needs none, what is in the third or near its dest is slower by it. Beyond the
 * end a fetch is in vain, and harms nothing. */
#define AHEAD 1024
#define FETCH_BYTES_MIN 8193
#define FETCH_BYTES_MAX 98304
#define FETCH_DISTANCE_MIN 4096

/* may_alias: a program's objects of any type. whole: at multiples of its own size, not of 16 only. */
#define DEFINE_VECTOR(bytes) \
    typedef long long __attribute__((vector_size(bytes), may_alias, aligned(16))) vector##bytes; \
    typedef long long __attribute__((vector_size(bytes), may_alias)) whole##bytes; \
    _Static_assert(sizeof(vector##bytes) == (bytes) && sizeof(whole##bytes) == (bytes), \
                   "a vector is as long as it says")
DEFINE_VECTOR(16);

/* On many processors a load waits for an earlier store to the same place of another 4 KiB page. Where dest begins just
 * behind source in that sense, a loop that goes up would always wait: then down, unless dest lies below and overlaps. */
ALWAYS_INLINE bool goes_up(const void *dest, const void *source, size_t bytes)
{
    size_t up = (uintptr_t)dest - (uintptr_t)source, down = (uintptr_t)source - (uintptr_t)dest;
    return up >= bytes && (up % 4096 >= 256 || down < bytes);
}

ALWAYS_INLINE bool gains_by_fetches(const void *dest, const void *source, size_t bytes)
{
    size_t up = (uintptr_t)dest - (uintptr_t)source, down = (uintptr_t)source - (uintptr_t)dest;
    return bytes >= FETCH_BYTES_MIN && bytes <= FETCH_BYTES_MAX && up >= FETCH_DISTANCE_MIN &&
           down >= FETCH_DISTANCE_MIN;
}

/* Defines the loops: four vectors a turn, until put has come to end, or to start. fetches is a constant where they are inlined. */
#define DEFINE_LOOPS(size, attributes) \
    attributes ALWAYS_INLINE void fetch_lines_##size(const char *address) \
    { \
        for (size_t line = 0; line < 4 * (size); line += 64) \
            __builtin_prefetch(address + line); \
    } \
\
    attributes ALWAYS_INLINE void loop_up_##size(whole##size *put, const vector##size *at, const vector##size *end, \
                                                 bool fetches) \
    { \
        do { \
            if (fetches) \
                fetch_lines_##size((const char *)at + AHEAD); \
            vector##size v0 = at[0], v1 = at[1], v2 = at[2], v3 = at[3]; \
            put[0] = v0; \
            KEEP_ORDER; \
            put[1] = v1; \
            KEEP_ORDER; \
            put[2] = v2; \
            KEEP_ORDER; \
            put[3] = v3; \
            at += 4, put += 4; \
            KEEP_ORDER; \
        } while ((uintptr_t)put < (uintptr_t)end); \
    } \
\
    attributes ALWAYS_INLINE void loop_down_##size(whole##size *put, const vector##size *at, \
                                                   const vector##size *start, bool fetches) \
    { \
        do { \
            at -= 4, put -= 4; \
            if (fetches) \
                fetch_lines_##size((const char *)at - AHEAD); \
            vector##size v3 = at[3], v2 = at[2], v1 = at[1], v0 = at[0]; \
            put[3] = v3; \
            KEEP_ORDER; \
            put[2] = v2; \
            KEEP_ORDER; \
            put[1] = v1; \
            KEEP_ORDER; \
            put[0] = v0; \
            KEEP_ORDER; \
        } while ((uintptr_t)put > (uintptr_t)start); \
    }
DEFINE_LOOPS(16, )

/* Defines a move of two vectors or more. (With 15 or 16 of them, so for 512 bytes, the loop would store 17.) */
#define DEFINE_MOVE(size, attributes) \
    attributes static void move_by_##size(void *dest, const void *source, size_t bytes) \
    { \
        const vector##size *from = source, \
                           *from_end = (const vector##size *)(const void *)((const char *)source + bytes); \
        vector##size *to = dest, *to_end = (vector##size *)(void *)((char *)dest + bytes); \
        vector##size head0 = from[0], head1 = from[1], tail0 = from_end[-1], tail1 = from_end[-2]; \
        if (bytes <= 4 * (size)) { \
            to[0] = head0, to[1] = head1; \
            to_end[-2] = tail1, to_end[-1] = tail0; \
            return; \
        } \
        vector##size head2 = from[2], head3 = from[3], tail2 = from_end[-3], tail3 = from_end[-4]; \
        if (bytes <= 8 * (size)) { \
            to[0] = head0, to[1] = head1, to[2] = head2, to[3] = head3; \
            to_end[-4] = tail3, to_end[-3] = tail2, to_end[-2] = tail1, to_end[-1] = tail0; \
        } else if (bytes <= 12 * (size)) { \
            vector##size head4 = from[4], head5 = from[5], head6 = from[6], head7 = from[7]; \
            to[0] = head0, to[1] = head1, to[2] = head2, to[3] = head3; \
            to[4] = head4, to[5] = head5, to[6] = head6, to[7] = head7; \
            to_end[-4] = tail3, to_end[-3] = tail2, to_end[-2] = tail1, to_end[-1] = tail0; \
        } else if (bytes > 14 * (size) && bytes <= 16 * (size)) { \
            vector##size head4 = from[4], head5 = from[5], head6 = from[6], head7 = from[7]; \
            vector##size tail4 = from_end[-5], tail5 = from_end[-6], tail6 = from_end[-7], tail7 = from_end[-8]; \
            to[0] = head0, to[1] = head1, to[2] = head2, to[3] = head3; \
            to[4] = head4, to[5] = head5, to[6] = head6, to[7] = head7; \
            to_end[-8] = tail7, to_end[-7] = tail6, to_end[-6] = tail5, to_end[-5] = tail4; \
            to_end[-4] = tail3, to_end[-3] = tail2, to_end[-2] = tail1, to_end[-1] = tail0; \
        } else if (goes_up(dest, source, bytes)) { \
            size_t passed = (size) - (uintptr_t)dest % (size); \
            const vector##size *at = (const vector##size *)(const void *)((const char *)source + passed); \
            whole##size *put = (whole##size *)(void *)((char *)dest + passed); \
            if (gains_by_fetches(dest, source, bytes)) \
                loop_up_##size(put, at, to_end - 4, true); \
            else \
                loop_up_##size(put, at, to_end - 4, false); \
            to[0] = head0; \
            to_end[-4] = tail3, to_end[-3] = tail2, to_end[-2] = tail1, to_end[-1] = tail0; \
        } else { \
            size_t passed = (uintptr_t)to_end % (size); \
            const vector##size *at = (const vector##size *)(const void *)((const char *)from_end - passed); \
            whole##size *put = (whole##size *)(void *)((char *)to_end - passed); \
            if (gains_by_fetches(dest, source, bytes)) \
                loop_down_##size(put, at, to + 4, true); \
            else \
                loop_down_##size(put, at, to + 4, false); \
            to[0] = head0, to[1] = head1, to[2] = head2, to[3] = head3; \
            to_end[-1] = tail0; \
        } \
    }
DEFINE_MOVE(16, )

/* Of any count, with no more than every processor has. */
static void move_plain(void *dest, const void *source, size_t count16)
{
    if (count16 >= 2)
        move_by_16(dest, source, count16 * 16);
    else if (count16 == 1)
        *(vector16 *)dest = *(const vector16 *)source;
}

static void expect_units(const void *dest, const void *source, size_t count16)
{
    BMM_ASSERT((uintptr_t)dest % 16 == 0 && (uintptr_t)source % 16 == 0);
    BMM_ASSERT(count16 <= PTRDIFF_MAX / 16);
    (void)dest, (void)source, (void)count16;
}

#if defined(__x86_64__)

#include <cpuid.h>

DEFINE_VECTOR(32);
DEFINE_VECTOR(64);

/* The fewest units that AVX-512 is used for; or, greater than any count, that it is not. Relaxed: whoever asks finds the same. */
#define AVX512_COUNT16_MIN 4
#define AVX_ONLY (SIZE_MAX - 2)
#define NO_AVX (SIZE_MAX - 1)
#define NOT_ASKED SIZE_MAX
static size_t avx512_count16_min = NOT_ASKED;
enum { VECTOR64_BYTES = 64, AVX512_LOOP_BYTES_MIN = 512 };
_Static_assert(AVX512_COUNT16_MIN * 16 >= VECTOR64_BYTES, "one vector of AVX-512 at least");

/* The compiler clears the upper halves of registers at the end (vzeroupper), lest SSE code be slow afterwards: at -O2, that is. */
DEFINE_LOOPS(32, __attribute__((target("avx"))))
DEFINE_MOVE(32, __attribute__((target("avx"))))
DEFINE_LOOPS(64, __attribute__((target("avx512f"))))
DEFINE_MOVE(64, __attribute__((target("avx512f"))))

/* Bits of XCR0: the registers that the system keeps for each thread. */
enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6 };

static size_t ask(void)
{
    unsigned a, b, c, d, kept = 0, unused;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_OSXSAVE) == 0 || (c & bit_AVX) == 0)
        return NO_AVX;
    __asm__("xgetbv" : "=a"(kept), "=d"(unused) : "c"(0));
    if ((kept & XCR0_AVX) != XCR0_AVX)
        return NO_AVX;
    /* VBMI2: with those that came before it, AVX-512 slows the processor down for a while. */
    bool has_avx512 = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX512F) != 0 && (c & bit_AVX512VBMI2) != 0 &&
                      (kept & XCR0_AVX512) == XCR0_AVX512;
    return has_avx512 ? AVX512_COUNT16_MIN : AVX_ONLY;
}

static __attribute__((noinline)) void move_without_avx512(void *dest, const void *source, size_t count16)
{
    size_t known = bmm__load_relaxed(&avx512_count16_min);
    if (BMM__UNLIKELY(known == NOT_ASKED)) {
        known = ask();
        bmm__store_relaxed(&avx512_count16_min, known);
    }
    if (known == NO_AVX || count16 * 16 < 2 * sizeof(vector32))
        move_plain(dest, source, count16);
    else
        move_by_32(dest, source, count16 * 16);
}

/* In the processor's words: a function that is compiled for AVX-512 as a whole may use it before it has asked (clang's do,
 * unoptimised), and would clear the upper halves at its end. Registers from 16 on are of AVX-512 alone, so nothing of other code
 * is in them, nor slow afterwards. At a line of the cache, as what moves 128 bytes or less lies in that one: a nanosecond's
 * quarter. */
__attribute__((aligned(64))) void bmm_move16(void *dest, const void *source, size_t count16)
{
    expect_units(dest, source, count16);
    if (BMM__UNLIKELY(count16 < bmm__load_relaxed(&avx512_count16_min))) {
        move_without_avx512(dest, source, count16);
        return;
    }
    size_t bytes = count16 * 16;
    if (BMM__LIKELY(bytes <= 2 * VECTOR64_BYTES)) {
        __asm__ volatile("vmovdqu64 (%1), %%zmm16\n\t"
                         "vmovdqu64 -64(%1,%2), %%zmm17\n\t"
                         "vmovdqu64 %%zmm16, (%0)\n\t"
                         "vmovdqu64 %%zmm17, -64(%0,%2)"
                         :
                         : "r"(dest), "r"(source), "r"(bytes)
                         : "memory");
    } else if (bytes <= 4 * VECTOR64_BYTES) {
        __asm__ volatile("vmovdqu64 (%1), %%zmm16\n\t"
                         "vmovdqu64 64(%1), %%zmm17\n\t"
                         "vmovdqu64 -128(%1,%2), %%zmm18\n\t"
                         "vmovdqu64 -64(%1,%2), %%zmm19\n\t"
                         "vmovdqu64 %%zmm16, (%0)\n\t"
                         "vmovdqu64 %%zmm17, 64(%0)\n\t"
                         "vmovdqu64 %%zmm18, -128(%0,%2)\n\t"
                         "vmovdqu64 %%zmm19, -64(%0,%2)"
                         :
                         : "r"(dest), "r"(source), "r"(bytes)
                         : "memory");
    } else if (bytes < AVX512_LOOP_BYTES_MIN) {
        move_by_32(dest, source, bytes);
    } else {
        move_by_64(dest, source, bytes);
    }
}

#else

void bmm_move16(void *dest, const void *source, size_t count16)
{
    expect_units(dest, source, count16);
    move_plain(dest, source, count16);
}

#endif
