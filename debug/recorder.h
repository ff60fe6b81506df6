/* The flight recorder: the snapshot file, mapped shared while the program runs, so that what the process knew is on
 * disk whatever ends it. This module opens, extends and closes the file and hands out chunks; what is in a chunk is
 * known by the module that asked for it.
 *
 *   base                      used              mapped          reserved                   capacity
 *   ┌────────┬────────┬───────┬─────────────────┬───────────────┬╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╮
 *   │ header │ chunk  │ chunk │ allocated, free │ address space │ nobody's, as far as known ╎
 *   └────────┴────────┴───────┴─────────────────┴───────────────┴╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╯
 *
 * Address space is reserved as the file grows: a program may set itself a limit on it, and the recorder's share is to
 * be what it needs. Where the system knows no quiet place, all of it is reserved at once.
 *
 * Invariants
 *  R1  Space is allocated in the file system before it is mapped: a store into a chunk cannot SIGBUS.
 *  R2  A forked child never writes into its parent's file: the recorder's state lies in a page that reads as zero
 *      there, and bmm__recorder_is_open() is false until the child has opened its own. But for what
 *      recorder_lost.h says.
 *  R3  A child's own file has the same layout, mapped at the same addresses, so pointers into chunks stay right.
 *  R4  Chunks begin and end at OS page boundaries, so that a child can give each its own treatment.
 *  R5  No descriptor stays open: the host closes, counts and reuses descriptors as it likes. The file is opened by
 *      name for each extension and believed only if it is the same file still.
 */
#ifndef BMM_RECORDER_H
#define BMM_RECORDER_H

#include "brainmm/snapshot.h"

#include "core/assert.h"
#include "core/atomic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the page that a fork wipes. All zero: this process has not settled yet where it records. */
struct bmm__recorder_process {
    uint32_t state; /* below; release, so that who sees it settled sees the tables too; acquire in is_settled */
    uint32_t owner; /* OS thread id of who settles */
};
enum { BMM__RECORDER_UNSETTLED = 0, BMM__RECORDER_FILE = 1, BMM__RECORDER_PRIVATE = 2 };
extern struct bmm__recorder_process *bmm__recorder_process BMM__HIDDEN;

/* Counts the recorders this memory has seen: 1 in the first process, +1 in every forked child that settled. What
 * remembers a place in the file remembers the epoch with it. */
extern uint32_t bmm__recorder_epoch BMM__HIDDEN;

/* True while this very process has a file. One load; false in a fresh child. */
static inline bool bmm__recorder_is_open(void)
{
    return bmm__load_acquire(&bmm__recorder_process->state) == BMM__RECORDER_FILE;
}

/* The chunk's memory, zeroed, 16-aligned, valid until the process ends; *entry (if entry is not NULL) is its directory
 * entry, to be updated by its owner (used: store-release after the bytes). Without a file, or when it is full, private
 * memory with a private entry, so that callers need no second path. NULL: no memory at all. Takes RANK_RECORDER. */
void *bmm__recorder_chunk(enum bmm_chunk_type type, size_t bytes, uint64_t first, struct bmm_snapshot_chunk **entry);

/* ---- for debug/process.c ---- */

/* Raw system calls only. Makes the page that a fork wipes. */
void bmm__recorder_prepare(void);
/* The first of the process: reserves, creates, writes the header. False: private memory from now on. */
bool bmm__recorder_create(void);
/* In a forked child: an own file with copies of what is inherited (stacks, modules, command, options, threads) and
 * emptiness where the parent's affairs were. Of stacks, ids below stack_count are inherited. Without wants_file, or where none can be had, the same in private memory.
 * Returns the state reached; UNSETTLED: not even memory was to be had, and what is mapped is still the parent's (R2). */
uint32_t bmm__recorder_inherit(bool wants_file, uint32_t stack_count);

/* ---- for everyone in debug ---- */

/* Whether the file is still where it was made, as far as can be seen: a manager that has ended removed it, and nobody will read it;
 * or the process has another root directory, and it may be there all the same. */
bool bmm__recorder_is_named(void);

struct bmm_snapshot_header *bmm__recorder_header(void); /* never NULL; without a file a private one */
const char *bmm__recorder_path(void);                   /* NULL: no file */
uint64_t bmm__recorder_offset(const void *in_chunk);    /* in the file; 0: private memory */
uint64_t bmm__recorder_now_ns(void); /* since header.start_mono_ns; stands still in a strict sandbox */
void bmm__recorder_stop_clock(void); /* before it becomes strict, which it says with release */
void bmm__recorder_flag(enum bmm_snapshot_flag flag);
/* For debug/sandbox.c and rights.c: what the file is to grow by must be had now, since it will not be opened again. */
void bmm__recorder_make_room(void);

#endif
