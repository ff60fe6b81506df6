/* The snapshot: one self-describing file with everything the viewer needs.
 *
 * Words. *Recorder*: the same file while the program still runs and writes it, mapped shared. *Chunk*: a named
 * range of the file. *Stack id*: index of a word of the depot; 0 is "no stack". *Slot*: the place a block occupies.
 *
 *   0        4096            65536                                            header.file_bytes
 *   ┌────────┬───────────────┬──────────────┬─────────┬─────────┬─────────┬──┐
 *   │ header │ chunk entries │ stacks       │ modules │ spans   │ mirror  │… │   chunks lie anywhere behind 65536
 *   └────────┴───────────────┴──────────────┴─────────┴─────────┴─────────┴──┘
 *
 * Invariants (a reader checks every one and reports which failed):
 *  S1  header.magic, version major, byte_order and header_bytes match; else nothing else is read.
 *  S2  chunk_count ≤ chunk_capacity, and every entry lies inside file_bytes, which is ≤ the size of the file.
 *  S3  an entry whose type the reader does not know is skipped.
 *  S4  a mirror record is believed only if its check byte fits (bmm_mirror_check).
 *  S5  the id of a frame's caller is smaller than its own, so walking to the root ends.
 *
 * Written by: debug/recorder.c and the files that own a chunk type. Read by: report/snapshot_read.c.
 * Every integer is in the byte order of the machine that wrote it; there are no pointers to follow, only offsets.
 * Plain C11 and C++11, no other header of BrainMM needed.
 */
#ifndef BRAINMM_SNAPSHOT_H
#define BRAINMM_SNAPSHOT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BMM_SNAPSHOT_MAGIC "BRAINMM1"    /* 8 bytes, no terminator in the file */
#define BMM_SNAPSHOT_VERSION 0x00030001u /* major << 16 | minor; a reader refuses another major */
#define BMM_SNAPSHOT_BYTE_ORDER 0x01020304u
#define BMM_SNAPSHOT_HEADER_BYTES 4096u
#define BMM_SNAPSHOT_CHUNKS_OFFSET 4096u
#define BMM_SNAPSHOT_CHUNKS_MAX 1024u
#define BMM_SNAPSHOT_DATA_OFFSET 65536u

/* The mode the process was checked under. */
enum bmm_mode { BMM_MODE_OFF = 0, BMM_MODE_LEAK = 1, BMM_MODE_CHECK = 2 };

/* How far the process came. Anything but EXITED means that the final verification did not run. */
enum bmm_snapshot_state {
    BMM_SNAPSHOT_RUNNING = 1, /* also: ended by a signal, _exit or a crash; nothing was there to write more */
    BMM_SNAPSHOT_EXITED = 2,  /* the exit hook ran to its end: every guard and all poison was verified */
    BMM_SNAPSHOT_EXECED = 3   /* the process is about to replace itself by exec */
};

enum bmm_snapshot_flag {
    BMM_SNAPSHOT_FORKED = 1,      /* a child of fork: only its own allocations are recorded */
    BMM_SNAPSHOT_FULL = 2,        /* recorder_max or the file system was reached: later records are missing here */
    BMM_SNAPSHOT_ERRORS_LOST = 4, /* more distinct errors than the error table holds */
    BMM_SNAPSHOT_BYPASSED = 8,    /* another malloc serves the program: what it allocates is not recorded */
    BMM_SNAPSHOT_MOVED = 16       /* at its end the process might not have made a file where it has this one */
};

/* At offset 0. The fields marked [live] change while the program runs and are single aligned stores; of lost_…, additions. */
struct bmm_snapshot_header {
    char magic[8];
    uint32_t version;
    uint32_t header_bytes;
    uint32_t byte_order;
    uint32_t word_bits; /* 64 or 32 */
    uint32_t machine;   /* ELF e_machine of the program */
    uint32_t pid;
    uint32_t ppid;           /* at start */
    uint32_t exec_count;     /* how many images of this process with a recorder came before this one */
    uint64_t start_unix_ns;  /* CLOCK_REALTIME when the recorder was opened */
    uint64_t start_mono_ns;  /* CLOCK_MONOTONIC at the same moment; the zero of every coarse time */
    uint32_t mode;           /* enum bmm_mode */
    uint32_t state;          /* [live] enum bmm_snapshot_state */
    uint32_t flags;          /* [live] enum bmm_snapshot_flag, or-ed */
    int32_t exit_status;     /* [live] the status given to exit(), -1 while unknown */
    uint64_t file_bytes;     /* [live] bytes of the file in use; nothing behind it is meaningful */
    uint32_t chunk_count;    /* [live] published after the entry is complete */
    uint32_t chunk_capacity; /* BMM_SNAPSHOT_CHUNKS_MAX of the writer */
    uint64_t chunks_offset;  /* where the chunk entries begin */
    uint64_t exit_unix_ns;   /* [live] when the exit hook ran, 0 before */
    uint64_t alloc_count;    /* [live] recorded allocations, complete only in state EXITED */
    uint64_t free_count;     /* [live] likewise */
    uint64_t peak_bytes;     /* [live] largest sum of requested bytes seen, approximate; 0 where not kept */
    uint32_t image;          /* random, the same for all that one exec brought into memory, and for its forks */
    uint32_t is_exiting;     /* [live] the exit hook has begun; a futex that it wakes then, for the manager */
    /* Processes without a record that came from this one: while they live, they count themselves here. */
    uint32_t lost_children;  /* forked, and could make no file */
    uint32_t lost_programs;  /* that such a child, or one that had recorded nothing, became, and that may make none */
    uint32_t lost_sandboxed; /* forked in a sandbox of their own making, where no file may be opened */
    uint32_t lost_pid;       /* the last of them all */
};

enum bmm_chunk_type {
    BMM_CHUNK_COMMAND = 1,   /* argv, each string NUL-terminated; `used` bytes */
    BMM_CHUNK_OPTIONS = 2,   /* the options text in force, NUL-terminated */
    BMM_CHUNK_STACKS = 3,    /* uint32_t[], words of the stack depot; `first` is the id of element 0 */
    BMM_CHUNK_MODULES = 4,   /* struct bmm_snapshot_module, packed one behind the other, `used` bytes */
    BMM_CHUNK_SPANS = 5,     /* struct bmm_snapshot_span[]; `used` bytes of them; entries with start 0 are unused */
    BMM_CHUNK_MIRROR = 6,    /* where spans keep their mirror records; read through the span entries only */
    BMM_CHUNK_ERRORS = 7,    /* struct bmm_snapshot_error[]; an entry counts when its `committed` is 1 */
    BMM_CHUNK_THREADS = 8,   /* struct bmm_snapshot_thread[]; index is the thread index of records */
    BMM_CHUNK_UNCHECKED = 9, /* struct bmm_snapshot_unchecked, packed, `used` bytes: children that cannot be checked */
    BMM_CHUNK_NOTES = 10,    /* NUL-terminated sentences for the reader of the report, `used` bytes */
    BMM_CHUNK_CODE = 11,     /* uint64_t[BMM_SITE_NUMBERS]: what the numbers of sites stand for; 0: nothing */
    BMM_CHUNK_EXPECTED = 12, /* struct bmm_snapshot_expected[] */
    BMM_CHUNK_TYPES = 13     /* struct bmm_snapshot_type[]; an entry counts when its `blocks` is not 0 */
};

/* An entry of the chunk directory. */
struct bmm_snapshot_chunk {
    uint32_t type; /* enum bmm_chunk_type */
    uint32_t reserved;
    uint64_t offset; /* from the start of the file, multiple of 16 */
    uint64_t bytes;  /* room */
    uint64_t used;   /* [live] bytes written, stored after the bytes; 0 where the element says itself if it counts */
    uint64_t first;  /* number of the first element, where elements are numbered */
};

/* The stack depot: words. Frames that were met together are a *run*, and lie side by side, the outermost first; what is on top of a
 * run, or of a part of it, is another:
 *
 *      … │ next │ parent │ site │ site │ site │ next │ parent │ site │ …       next and parent have BMM_STACK_HEAD set, sites have not
 *
 * A stack id is the index of its innermost frame's site. The frame's caller is the word before it; if that is a parent, it is the id in
 * its other bits, which is smaller; 0 ends the stack. next is the writer's hash chain and has no meaning for readers.
 * site: below, the low BMM_SITE_BITS bits of a code address; above, the number of the entry of BMM_CHUNK_CODE that has the others
 * (number 0 stands for 0). Together they are a pc, which holds a code address in its low 48 bits: a return address (the address of
 * the call is one less), except where a signal interrupted the frame. Above it stands the epoch of the module it belongs to: the
 * module is the entry with the same epoch whose range holds the address; epoch 0xffff: the latest there; BMM_STACK_NO_MODULE:
 * of none, generated code. site 0: not written, or not used.
 * Written: the entries of BMM_CHUNK_CODE, then the run, then an id in it becomes visible in a record. */
#define BMM_STACK_HEAD 0x80000000u
#define BMM_SITE_BITS 20
#define BMM_SITE_NUMBERS 2048u
#define BMM_STACK_TRUNCATED 1u /* pseudo-pc of an outermost node: the stack went on, but could not be followed */
#define BMM_STACK_SIGNAL 2u    /* pseudo-pc: the frame outside (parent) was interrupted by a signal at its exact pc */
#define BMM_STACK_NO_MODULE 0xfffeu /* an epoch */
#define BMM_STACK_ADDRESS(pc) ((uint64_t)(pc)&0x0000ffffffffffffu)
#define BMM_STACK_EPOCH(pc) ((uint32_t)((uint64_t)(pc) >> 48))

/* A loaded module (program, shared library, vdso). Appended when a stack first passes through it. Where no build-id was found, 8 bytes
 * of checksum stand in its place: the 64-bit FNV-1a of the ELF header (e_shoff, e_shnum, e_shstrndx taken as 0) and the program
 * headers, as they are loaded; 0: not known. */
struct bmm_snapshot_module {
    uint32_t bytes;          /* of this record with its path, rounded up to 8 */
    uint32_t epoch;          /* how often its addresses had belonged to other, since unloaded modules; mostly 0 */
    uint64_t start, end;     /* address range [start, end) */
    uint64_t bias;           /* address in memory - address in the file's program headers */
    uint32_t build_id_bytes; /* 0: none was found */
    uint8_t build_id[20];
    __extension__ char path[]; /* NUL-terminated; of the program itself an absolute path; of the vdso "[vdso]" */
};

/* A span of slots with one mirror record each. */
struct bmm_snapshot_span {
    uint64_t start; /* address of slot 0; 0: entry unused */
    uint64_t slot_bytes;
    uint32_t slot_count;
    uint32_t kind;          /* enum bmm_span_kind */
    uint64_t mirror_offset; /* of slot_count struct bmm_snapshot_mirror in the file; a multiple of 8 */
};
enum bmm_span_kind {
    BMM_SPAN_SLOTS = 1, /* slots of one size class */
    BMM_SPAN_RUNS = 2,  /* page runs: slot_bytes is one OS page, the record stands at the first page of a run */
    BMM_SPAN_LARGE = 3  /* one block with its own mapping */
};

/* How a block was obtained, and how it is given back: both ends use the same numbers. */
enum bmm_alloc_kind {
    BMM_KIND_MALLOC = 0,      /* malloc, calloc, realloc, strdup …; free */
    BMM_KIND_ALIGNED = 1,     /* aligned_alloc, posix_memalign, memalign, valloc, pvalloc; free */
    BMM_KIND_NEW = 2,         /* operator new; operator delete */
    BMM_KIND_NEW_ARRAY = 3,   /* operator new[]; operator delete[] */
    BMM_KIND_NEW_ALIGNED = 4, /* the align_val_t forms */
    BMM_KIND_NEW_ARRAY_ALIGNED = 5,
    BMM_KIND_BMM = 6,          /* bmm_malloc and the other bmm_ calls; bmm_free or free */
    BMM_KIND_PAGES = 7,        /* bmm_pages_get; bmm_pages_free */
    BMM_KIND_MEMORY_BLOCK = 8, /* bmm_memory_block_get; bmm_memory_block_free */
    BMM_KIND_COUNT = 9
};

enum bmm_slot_state {
    BMM_SLOT_NEVER = 0, /* no block was recorded here */
    BMM_SLOT_LIVE = 1,
    BMM_SLOT_QUARANTINED = 2, /* freed by the program, kept back, poison is verified */
    BMM_SLOT_FREE = 3,
    BMM_SLOT_EXPECTED = 4 /* live, and the program does not call it a leak */
};

/* Mirror of a slot's record: written to, never read, by the program. 16 bytes.
 *   stack   allocation stack id              size   requested bytes, low 32 bits
 *   detail  bits 0–2 state · 3–7 kind · 8–19 size bits 32–43 · 20–35 thread index ·
 *           36–55 low bits of the thread's allocation count · 56–63 check byte */
struct bmm_snapshot_mirror {
    uint32_t stack;
    uint32_t size;
    uint64_t detail;
};
#define BMM_MIRROR_STATE(d) ((uint32_t)((d)&7u))
#define BMM_MIRROR_KIND(d) ((uint32_t)((d) >> 3 & 31u))
#define BMM_MIRROR_SIZE_HIGH(d) ((uint32_t)((d) >> 8 & 0xfffu))
#define BMM_MIRROR_THREAD(d) ((uint32_t)((d) >> 20 & 0xffffu))
#define BMM_MIRROR_COUNT(d) ((uint32_t)((d) >> 36 & 0xfffffu))
#define BMM_MIRROR_CHECK(d) ((uint32_t)((d) >> 56))

/* The check byte of a mirror record: all other bits but the state's folded to one byte, never 0 for a written record. So a state
 * changes by a store of one byte, and a block that is being recorded when the process is killed has the state of the one before. */
static inline uint32_t bmm_mirror_check(uint32_t stack, uint32_t size, uint64_t detail)
{
    uint64_t x = (((uint64_t)size << 32) | stack) ^ (detail & 0x00fffffffffffff8u);
    x = (x ^ (x >> 29)) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(x >> 56) | 1u;
}

/* Of the live blocks of one stack and kind, those that begin with the same address in a module; counted in a process that ended
 * by its exit hook. If it is in a table of virtual methods, that is their class. Blocks that are in no entry: not known. */
struct bmm_snapshot_type {
    uint64_t word;        /* the address, with its module's epoch above, as in stack nodes */
    uint32_t stack;       /* id, as in their mirror records */
    uint32_t kind;        /* enum bmm_alloc_kind */
    uint32_t is_expected; /* 1: of blocks in state BMM_SLOT_EXPECTED */
    uint32_t reserved;
    uint64_t blocks;
    uint64_t bytes; /* requested */
};

enum bmm_error_kind {
    BMM_ERROR_DOUBLE_FREE = 1,
    BMM_ERROR_INVALID_FREE = 2,          /* not a pointer of ours */
    BMM_ERROR_INTERIOR_FREE = 3,         /* inside a block, not its start */
    BMM_ERROR_MISMATCHED_FREE = 4,       /* new / free, malloc / delete, new[] / delete … */
    BMM_ERROR_SIZED_DELETE_MISMATCH = 5, /* the size or alignment given back is not the one asked for */
    BMM_ERROR_HEAP_OVERFLOW = 6,         /* the guard behind the block was changed */
    BMM_ERROR_HEAP_UNDERFLOW = 7,        /* the guard before the block was changed */
    BMM_ERROR_WRITE_AFTER_FREE = 8       /* the poison of a freed block was changed */
};

/* When an error was noticed. */
enum bmm_error_moment {
    BMM_MOMENT_FREE = 1,
    BMM_MOMENT_REALLOC = 2,
    BMM_MOMENT_QUARANTINE = 3, /* leaving the quarantine */
    BMM_MOMENT_EXIT = 4,
    BMM_MOMENT_DEMAND = 5 /* bmm_check_all or a request from outside */
};

#define BMM_ERROR_CHANGED_MAX 16

/* A changed byte of a guard or of poison. */
struct bmm_snapshot_changed {
    int64_t offset; /* from the block's start: negative before it, ≥ size behind it */
    uint8_t expected;
    uint8_t found;
    uint8_t reserved[6];
};

struct bmm_snapshot_error {
    uint32_t committed;    /* [live] 1: the entry is complete */
    uint32_t kind;         /* enum bmm_error_kind */
    uint32_t moment;       /* enum bmm_error_moment */
    uint32_t repeat_count; /* [live] how often the same error (kind and stacks) came, at least 1 */
    uint64_t address;      /* the pointer the program passed, or the block */
    uint64_t block;        /* start of the block meant, 0: none known */
    uint64_t size;         /* requested bytes of that block */
    uint64_t given_size;   /* size (or alignment, see given_align) the program gave to a sized delete */
    uint64_t given_align;
    uint64_t align;      /* alignment the block was asked with */
    uint32_t alloc_kind; /* enum bmm_alloc_kind, of the block */
    uint32_t free_kind;  /* of the call that noticed it */
    uint32_t detected_stack;
    uint32_t alloc_stack;
    uint32_t free_stack;
    uint32_t thread;        /* index of the thread that noticed it */
    uint64_t time_ns;       /* since header.start_mono_ns */
    uint32_t changed_count; /* changed bytes in all; the first BMM_ERROR_CHANGED_MAX are listed */
    uint32_t alloc_thread;
    struct bmm_snapshot_changed changed[BMM_ERROR_CHANGED_MAX];
};

struct bmm_snapshot_thread {
    uint32_t index;    /* as in records; 0 is the first thread */
    uint32_t tid;      /* of the system; 0: entry unused */
    uint64_t start_ns; /* since header.start_mono_ns */
    char name[16];     /* at the first allocation, NUL-padded */
};

/* Blocks that the program does not call leaks: those of a size, as many as count says, or all that have a frame whose function
 * the pattern matches, if there is a pattern. */
#define BMM_EXPECT_PATTERN_BYTES 232 /* with the NUL */
struct bmm_snapshot_expected {
    uint32_t is_on; /* [live] 1: it counts; stored after the rest */
    uint32_t reserved;
    uint64_t size, count;
    char pattern[BMM_EXPECT_PATTERN_BYTES];
};

/* A child process that this process is about to start and that cannot be checked. */
struct bmm_snapshot_unchecked {
    uint32_t bytes;            /* of this record with its text, rounded up to 8 */
    uint32_t pid;              /* of the process that called exec, 0 where unknown */
    __extension__ char text[]; /* reason, NUL, path of the program, NUL */
};

#ifdef __cplusplus
}
#endif

#endif
