/* Stacks: captured, remembered, stored once.
 *
 * Words. *Frame state*: (pc, sp, fp) of a frame, enough to find its caller with a rule. *Rule*: how, at one pc, the
 * caller's state is found (CFA register and offset, where the frame pointer and the return address are saved).
 * *Memo*: what a thread saw on its own stack last time. *Depot*: every distinct stack, as a tree of runs of call
 * sites; a stack id is the place of its innermost frame's (brainmm/snapshot.h). 0: no stack.
 */
#ifndef BMM_STACK_H
#define BMM_STACK_H

#include "stack_arch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bmm__stack_memo; /* one per thread, made on first use, opaque */

/* Before the first capture; raw system calls only. depth_max 1 … 256 frames. */
void bmm__stack_open(unsigned depth_max);
/* Whether bmm__stack_start is to load libunwind, for frames that our own means do not pass: see stack_fallback.h for
 * what that costs. Not asked for by default. */
void bmm__stack_want_fallback(bool is_wanted);
/* When libc is usable: loads what is needed privately. Capture works before it, with what it has. */
void bmm__stack_start(void);

struct bmm__stack_memo *bmm__stack_memo_make(void); /* NULL: no memory; capture takes NULL too, and is slower */
void bmm__stack_memo_free(struct bmm__stack_memo *memo);
/* In a forked child: the thread that had it, maybe in use, is not there. NULL: it had none. */
void bmm__stack_memo_lose(struct bmm__stack_memo *memo);

/* The stack id of the calling thread's stack, seen from outside this library: frames of the library itself on top
 * are left out, if it is a library (linked into a program it cannot tell its code from the program's by address).
 * The process must be settled (debug/process.h): the depot lies in the recorder's chunks. No lock that a forked child
 * could find held, no system call on the hot path, no allocation from any heap. errno is kept. Safe in a signal
 * handler that interrupted another capture on the same memo. 0: nothing could be captured or stored. */
uint32_t bmm__stack_capture(struct bmm__stack_memo *memo);
/* The same from a frame on, whose state a function up the stack has taken (BMM__ARCH_CALLER_STATE). */
uint32_t bmm__stack_capture_from(struct bmm__stack_memo *memo, uintptr_t pc, uintptr_t sp, uintptr_t fp);

/* The loader's map changed (after dlclose, after dlopen): forget rules and memos that may have become wrong. */
void bmm__stack_modules_changed(void);

/* In a forked child, when it opens its own recorder: chunks keep their addresses, nothing to do but to drop what
 * another thread may have left half done. */
void bmm__stack_fork_child(void);

/* ---- the depot, also for tests ---- */

/* A frame on its way into the depot. */
struct bmm__depot_frame {
    uintptr_t pc;
    uint64_t hash; /* of the stack from here outwards: bmm__depot_hash */
    uint32_t site; /* the depot's */
    uint32_t id;   /* of that stack, when it is in; 0: it is full */
};

/* Where a stack is looked for follows from its frames alone: the hash of a stack of one frame more (of no frame: 0). */
static inline uint64_t bmm__depot_hash(uint64_t outer, uintptr_t pc)
{
    uint64_t mixed = (outer ^ pc) * 0xff51afd7ed558ccdu;
    return mixed ^ mixed >> 32;
}

/* Gives count frames, at most BMM__DEPOT_FRAMES_MAX, the outermost first, which stand on top of the stack parent, their ids. */
#define BMM__DEPOT_FRAMES_MAX 257u
void bmm__depot_intern(uint32_t parent, struct bmm__depot_frame *frames, uint32_t count);
/* The first of them will have that hash: what bmm__depot_intern looks at first is fetched meanwhile. */
void bmm__depot_expect(uint64_t hash);
/* Once, at the start: stores where the first stacks will be looked for before that is read (as for bmm__rule_words). */
void bmm__depot_open(void);
uint32_t bmm__depot_intern_one(uint32_t parent, uintptr_t pc);      /* one frame, slower: finds out the hash */
bool bmm__depot_node(uint32_t id, uintptr_t *pc, uint32_t *parent); /* a frame, and its caller's id. False: no such */
uint32_t bmm__depot_count(void);                                    /* ids are below */
void bmm__depot_fork_child(void);

#endif
