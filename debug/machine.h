/* The machine that this library is for, as ELF counts them; EM_NONE: none that we know. */
#ifndef BMM_MACHINE_H
#define BMM_MACHINE_H

#include <elf.h>

#if defined(__x86_64__)
#define BMM__MACHINE EM_X86_64
#elif defined(__i386__)
#define BMM__MACHINE EM_386
#elif defined(__aarch64__)
#define BMM__MACHINE EM_AARCH64
#elif defined(__riscv)
#define BMM__MACHINE EM_RISCV
#else
#define BMM__MACHINE EM_NONE
#endif

#endif
