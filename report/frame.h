/* Frames and stacks of a report, as every reader fills them and every writer prints them. Immutable once made. */
#ifndef BMM_REPORT_FRAME_H
#define BMM_REPORT_FRAME_H

#include <stdbool.h>
#include <stdint.h>

/* Whose code a module is. */
enum bmm__role {
    BMM_ROLE_PROGRAM = 0, /* the program and its libraries: everything that is not named below; also no module */
    BMM_ROLE_LIBC,        /* libc and the libraries that are part of it */
    BMM_ROLE_LOADER,      /* ld.so */
    BMM_ROLE_RUNTIME,     /* compiler support: libstdc++, libgcc_s … */
    BMM_ROLE_ALLOCATOR    /* BrainMM itself */
};

/* What a frame is in every stack, by its function's name and its role. */
enum bmm__part {
    BMM_PART_OTHER = 0,
    BMM_PART_ALLOCATOR, /* malloc, operator new … and BrainMM's own functions, wherever they are linked */
    BMM_PART_MAIN,
    BMM_PART_START,   /* what calls main */
    BMM_PART_TEMPLATE /* of C++'s or Rust's library, compiled into the program */
};

struct bmm__frame {
    const char *function; /* demangled, without compiler suffixes; NULL: unknown */
    const char *file;     /* source file as the compiler recorded it; NULL: unknown */
    const char *module;   /* path; NULL: the address lies in no module that was seen */
    const char *export;   /* in libc and ld.so: the exported function the address lies in; NULL: an inner one */
    const char
        *callee;     /* elsewhere: the function called from here through the loader, see dynamic.h; NULL: not known, or
                        not looked for (symbol.h) */
    uint64_t offset; /* address in the module's file (as addr2line takes it); the address itself without module */
    uint32_t line;   /* 0: unknown */
    uint8_t role;    /* enum bmm__role of the module */
    bool is_inlined; /* inlined into the next frame; both have the same offset */

    /* What follows from the above: bmm__frame_settle. */
    uint8_t part;      /* enum bmm__part */
    uint64_t key;      /* a hash of what a reader sees, stack_same.h */
    uint64_t own_hash; /* what fingerprints see of it by itself */
};

/* Before a frame is in a stack, and after it was changed. Its texts are interned (P2 of report.h). */
void bmm__frame_settle(struct bmm__frame *frame);
/* The same, where bmm__fingerprint_name of its function is known: many frames have the same, and names are long. */
void bmm__frame_settle_named(struct bmm__frame *frame, uint64_t name_hash);

/* Innermost frame first. */
struct bmm__stack {
    const struct bmm__frame *const *frames;
    uint32_t count;
    bool is_truncated; /* went on, but could not be followed */
};

#endif
