/* One machine instruction of x86-64: how long it is, and what stack_code.c must know of it. Nothing else of what it does.
 *
 * Invariants
 *  D1  Nothing behind the bytes given is read.
 *  D2  What has no meaning in 64-bit code is an error, never a guess.
 */
#ifndef BMM_STACK_INSTRUCTION_H
#define BMM_STACK_INSTRUCTION_H

#include <stdbool.h>
#include <stdint.h>

#define BMM__INSTRUCTION_BYTES_MAX 15

/* Tables of opcodes: by one byte; behind 0f; 0f 38; 0f 3a. */
enum bmm__opcode_map { BMM__MAP_ONE, BMM__MAP_0F, BMM__MAP_0F38, BMM__MAP_0F3A };

/* Registers by the numbers that instructions have for them: rax rcx rdx rbx rsp rbp rsi rdi r8 … r15. */
enum { BMM__CODE_RSP = 4, BMM__CODE_RBP = 5, BMM__CODE_RIP = 16, BMM__CODE_NONE = 17 };

struct bmm__instruction {
    uint8_t bytes; /* its length */
    uint8_t map;   /* enum bmm__opcode_map */
    uint8_t opcode;
    bool is_vector; /* VEX or EVEX: registers are others, but for a few */
    bool is_wide;   /* operands of 64 bits */
    bool is_short;  /* of 16 */
    bool is_exact;  /* no other prefix than REX */
    bool has_modrm;
    uint8_t mode;    /* 3: rm is a register; else memory at base + index + displacement */
    uint8_t reg, rm; /* reg also: which of the instructions that share the opcode */
    uint8_t base;    /* register, RIP or NONE */
    uint8_t third;   /* the register that VEX adds */
    bool has_index;
    int32_t displacement;
    int64_t immediate; /* sign-extended */
};

/* False: it is none, or longer than count bytes. */
bool bmm__instruction_decode(const uint8_t *code, unsigned count, struct bmm__instruction *instruction);

#endif
