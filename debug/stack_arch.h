/* What unwinding must know of the machine, and nothing else does: DWARF register numbers, where a return address is
 * saved, how to read one's own registers, what a signal trampoline looks like. A new machine is a new section here.
 * The rules that fit in a word are those that save the return address at a place that follows from where fp is saved.
 *
 * Words. *fp*: the frame-pointer register, whatever the code uses it for.
 */
#ifndef BMM_STACK_ARCH_H
#define BMM_STACK_ARCH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Enough to find the caller of a frame with a fast rule. */
struct bmm__frame_state {
    uintptr_t pc, sp, fp;
};

#if defined(__x86_64__)

#define BMM__ARCH_REGISTERS 17 /* rax rdx rcx rbx rsi rdi rbp rsp r8 … r15, return address */
#define BMM__ARCH_FP 6
#define BMM__ARCH_SP 7
#define BMM__ARCH_RA 16
#define BMM__ARCH_PC 16                                 /* where the two functions below put the program counter */
#define BMM__ARCH_RA_OFFSET(fp_distance) ((intptr_t)-8) /* from the CFA; call pushed it */
#define BMM__ARCH_RA_CODE(ra) (ra)
#define BMM__ARCH_CODE_BITS 47 /* of user code addresses */
#define BMM__ARCH_RED_ZONE 128 /* bytes below sp that a leaf may use */
#define BMM__ARCH_FRAME_MIN 8u /* bytes that a call itself puts on the stack */
#define BMM__ARCH_CFI_NOP 0x00 /* an instruction of the tables that says something of this machine, but nothing to us */

/* The state of the function that called the one this is used in. The builtin makes the compiler set up rbp there. */
#define BMM__ARCH_CALLER_STATE(state) \
    do { \
        const uintptr_t *frame_ = (const uintptr_t *)__builtin_frame_address(0); \
        (state)->fp = frame_[0]; \
        (state)->pc = frame_[1]; \
        (state)->sp = (uintptr_t)(frame_ + 2); \
    } while (0)

/* All registers at one point of the function it is used in, numbered as DWARF does. */
#define BMM__ARCH_ALL_REGISTERS(r) \
    __asm__ volatile("movq %%rbx, 24(%0)\n\tmovq %%rbp, 48(%0)\n\tmovq %%rsp, 56(%0)\n\t" \
                     "movq %%r12, 96(%0)\n\tmovq %%r13, 104(%0)\n\tmovq %%r14, 112(%0)\n\tmovq %%r15, 120(%0)\n\t" \
                     "leaq 0(%%rip), %%rax\n\tmovq %%rax, 128(%0)" \
                     : \
                     : "r"(r) \
                     : "rax", "memory")

/* Of those: what every function leaves as it found it, and where we are. */
static inline void bmm__arch_mark_kept(bool is_known[BMM__ARCH_REGISTERS + 1])
{
    static const uint8_t kept[] = { 3, 6, 7, 12, 13, 14, 15, BMM__ARCH_PC };
    for (unsigned i = 0; i < sizeof kept; i++)
        is_known[kept[i]] = true;
}

/* Linux: a handler returns to `mov $15, %rax; syscall` with sp at the ucontext. mcontext begins 40 bytes behind. */
#define BMM__ARCH_TRAMPOLINE_BYTES 9
#define BMM__ARCH_CONTEXT_BYTES (40 + 8 * 17)

static inline bool bmm__arch_is_trampoline(const uint8_t *code)
{
    return memcmp(code, "\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05", BMM__ARCH_TRAMPOLINE_BYTES) == 0;
}

/* The interrupted registers of the ucontext at sp. */
static inline void bmm__arch_read_context(uintptr_t sp, uintptr_t registers[BMM__ARCH_REGISTERS + 1])
{
    /* The kernel's order: r8 … r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip. */
    static const uint8_t dwarf_number[17] = { 8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16 };
    const uintptr_t *saved = (const uintptr_t *)(sp + 40);
    for (unsigned i = 0; i < 17; i++)
        registers[dwarf_number[i]] = saved[i];
}

#elif defined(__aarch64__)

#define BMM__ARCH_REGISTERS 32 /* x0 … x30, sp */
#define BMM__ARCH_FP 29
#define BMM__ARCH_SP 31
#define BMM__ARCH_RA 30
#define BMM__ARCH_PC 32 /* where the two functions below put the program counter */
/* A frame record: fp, and behind it the return address. Nothing fits that has none: the place would be behind the frame. */
#define BMM__ARCH_RA_OFFSET(fp_distance) (8 - (intptr_t)(fp_distance))
#define BMM__ARCH_RA_CODE(ra) ((ra)&0xffffffffffff) /* the bits above may be a signature (pointer authentication) */
#define BMM__ARCH_CODE_BITS 48
#define BMM__ARCH_RED_ZONE 0
#define BMM__ARCH_FRAME_MIN 0u
#define BMM__ARCH_CFI_NOP 0x2d /* negate_ra_state: the return address is signed, or no longer */

/* The state of the function that called the one this is used in. */
#define BMM__ARCH_CALLER_STATE(state) \
    do { \
        const uintptr_t *frame_ = (const uintptr_t *)__builtin_frame_address(0); \
        (state)->fp = frame_[0]; \
        (state)->pc = BMM__ARCH_RA_CODE(frame_[1]); \
        (state)->sp = (uintptr_t)__builtin_dwarf_cfa(); \
    } while (0)

/* All registers at one point of the function it is used in, numbered as DWARF does. */
#define BMM__ARCH_ALL_REGISTERS(r) \
    __asm__ volatile("stp x19, x20, [%0, #152]\n\tstp x21, x22, [%0, #168]\n\tstp x23, x24, [%0, #184]\n\t" \
                     "stp x25, x26, [%0, #200]\n\tstp x27, x28, [%0, #216]\n\tstr x29, [%0, #232]\n\t" \
                     "mov x9, sp\n\tadr x10, .\n\tstp x9, x10, [%0, #248]" \
                     : \
                     : "r"(r) \
                     : "x9", "x10", "memory")

/* Of those: what every function leaves as it found it, and where we are. */
static inline void bmm__arch_mark_kept(bool is_known[BMM__ARCH_REGISTERS + 1])
{
    for (unsigned i = 19; i <= BMM__ARCH_FP; i++)
        is_known[i] = true;
    is_known[BMM__ARCH_SP] = is_known[BMM__ARCH_PC] = true;
}

/* Linux: a handler returns to `mov x8, #139; svc #0` with sp at siginfo (128 bytes), and the ucontext behind that. In it
 * x0 … x30, sp and pc begin at byte 184, since mcontext is aligned. */
#define BMM__ARCH_TRAMPOLINE_BYTES 8
#define BMM__ARCH_CONTEXT_BYTES (128 + 184 + 8 * 33)

static inline bool bmm__arch_is_trampoline(const uint8_t *code)
{
    return memcmp(code, "\x68\x11\x80\xd2\x01\x00\x00\xd4", BMM__ARCH_TRAMPOLINE_BYTES) == 0;
}

/* The interrupted registers of the frame that the kernel laid at sp. */
static inline void bmm__arch_read_context(uintptr_t sp, uintptr_t registers[BMM__ARCH_REGISTERS + 1])
{
    memcpy(registers, (const void *)(sp + 128 + 184), 8 * 33);
}

#else
#error "unwinding knows x86-64 and aarch64: add a section to stack_arch.h"
#endif

#endif
