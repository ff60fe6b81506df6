/* BrainMM: the allocator's own calls. Every name of libc (malloc, free, …) and every C++ operator new and delete is
 * provided as well, by the same heap: blocks may be obtained by one and given back by another.
 *
 * Sizes and alignments in bytes. Every address is a multiple of 16. All functions are thread-safe (but see JIT heaps); none
 * but bmm_move16 is async-signal-safe. Errors: NULL with errno (ENOMEM, EINVAL); a block given to a call that fails stays as it was.
 */
#ifndef BRAINMM_BRAINMM_H
#define BRAINMM_BRAINMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#ifdef __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* some functions are called as the structs that they fill */
#endif
#endif

#if defined(__GNUC__)
#define BMM_API __attribute__((visibility("default")))
#else
#define BMM_API
#endif

/* As malloc, calloc, realloc, free. bmm_realloc(p, 0) frees p and returns NULL. bmm_free(NULL) does nothing and
 * bmm_free keeps errno. */
BMM_API void *bmm_malloc(size_t size);
BMM_API void *bmm_calloc(size_t count, size_t size);
BMM_API void *bmm_realloc(void *p, size_t size);
BMM_API void bmm_free(void *p);

/* Bytes that may be used at p; constant while the block lives. In libbrainmm_debug under check the size asked for. NULL: 0. */
BMM_API size_t bmm_usable_size(const void *p);

/* A block at a multiple of align, a power of two from 16 up (else NULL, EINVAL). Freed by free or bmm_free. realloc and
 * bmm_reget keep the alignment, wherever the block goes, until its size becomes 0. */
BMM_API void *bmm_malloc_aligned(size_t align, size_t size);

/* As bmm_realloc, but what the block holds is lost: p itself if size fits there, else another block of the same alignment,
 * which is obtained before p is given back, so that NULL (ENOMEM) means that p and its content are as they were. Of the two
 * no more is in memory at any time than the longer one needs. */
BMM_API void *bmm_reget(void *p, size_t size);

/* Moves count16 times 16 bytes as memmove does: they may overlap in any way. dest and source are multiples of 16 and need be
 * no blocks. Made to take no longer than memmove from 64 bytes to 1 MiB. */
BMM_API void bmm_move16(void *dest, const void *source, size_t count16);

/* Collects what other threads freed of the calling thread's blocks, and gives empty spans and free pages back to the
 * system. True if something was given back. */
BMM_API bool bmm_thread_heap_minimize(void);

/* The same for all threads: what the others hold they give back themselves, within their next few thousand calls. */
BMM_API bool bmm_heap_minimize(void);

/* ---- memory pages: of 4 KiB each, together at a multiple of it ---- */

#define BMM_PAGE_BYTES ((size_t)4096) /* where the system's pages are larger, whole ones of those are taken */

/* count pages; readable and writable, of undefined content. NULL: ENOMEM; of none: EINVAL. Given back by bmm_pages_free, and
 * by free. */
BMM_API void *bmm_pages_get(size_t count);
/* As realloc and bmm_reget, by counts: where they are, with what is free behind them; else with what is free on both sides,
 * moved once; else by changing addresses of pages; else elsewhere. What is new can be read and written; if the pages move,
 * all of them can. pages NULL: bmm_pages_get. Else count 0: bmm_pages_free, and NULL. NULL with ENOMEM, or with EINVAL if pages is
 * not the start of memory pages: what is there is as it was, but all of them may have become readable and writable, if they were to be
 * moved. */
BMM_API void *bmm_pages_realloc(void *pages, size_t count);
BMM_API void *bmm_pages_reget(void *pages, size_t count);
/* False with EINVAL: not the start of memory pages; nothing is done. (libbrainmm_debug reports it as an error.) NULL: true. */
BMM_API bool bmm_pages_free(void *pages);

enum { BMM_RIGHT_NONE = 0, BMM_RIGHT_READ = 1, BMM_RIGHT_WRITE = 2, BMM_RIGHT_EXECUTE = 4, BMM_RIGHT_UNKNOWN = 8 };
/* Gives count pages from pages on, a multiple of BMM_PAGE_BYTES, the rights, or-ed; whoever's they are. False with errno as
 * the system says (EACCES, ENOMEM, …), or EINVAL for other rights and addresses.
 * Memory pages and other blocks of more than 32 KiB can be read and written again when they are given back; smaller blocks must be made so
 * before they are freed. */
BMM_API bool bmm_pages_protect(void *pages, size_t count, unsigned rights);
/* The rights of the page that p lies in, or-ed. -1 with errno: ENOMEM where no memory is, else what keeps the system from
 * saying it. */
BMM_API int bmm_pages_rights(const void *p);

/* ---- memory blocks: of 4, 16, 64 or 256 KiB, 1, 4, 16, 64 or 256 MiB, each at a multiple of its size ---- */

#define BMM_MEMORY_BLOCK_BYTES_MIN ((size_t)4096)
#define BMM_MEMORY_BLOCK_BYTES_MAX ((size_t)256 << 20)

/* So address & -size is the start of the block that the address lies in. NULL: ENOMEM; for any other size EINVAL. Cannot be resized: realloc and
 * bmm_reget say EINVAL and leave it as it is (but of size 0: they free it). Given back by bmm_memory_block_free, and by free. */
BMM_API void *bmm_memory_block_get(size_t size);
/* False with EINVAL: not the start of a memory block; nothing is done. (libbrainmm_debug reports it as an error.) NULL: true. */
BMM_API bool bmm_memory_block_free(void *block);

/* ---- what a pointer is ---- */

enum bmm_memory_kind {
    BMM_MEMORY_SMALL = 1, /* slots of up to 128 bytes */
    BMM_MEMORY_MEDIUM,    /* slots of up to 32 KiB */
    BMM_MEMORY_BIG,       /* runs of pages, up to 32 MiB */
    BMM_MEMORY_LARGE,     /* mappings of their own */
    BMM_MEMORY_PAGES,     /* bmm_pages_get */
    BMM_MEMORY_BLOCK,     /* bmm_memory_block_get */
    BMM_MEMORY_JIT,       /* bmm_jit_get: in either view */
    BMM_MEMORY_KIND_LAST = BMM_MEMORY_JIT
};

struct bmm_memory_options {
    void *start;       /* of the block */
    size_t size;       /* bytes: in libbrainmm_debug those asked for, else those that may be used */
    size_t block_size; /* bytes that it occupies, with all that stands around it */
    size_t align;      /* as asked for, at least 16 */
    enum bmm_memory_kind kind;
    unsigned rights; /* of the page that the address lies in; BMM_RIGHT_UNKNOWN: the system does not say */
    uint32_t
        thread_id; /* of the system: whose heap it is in. 0: no thread's, as all that is no slot or of a heap of the program's
                         * own, or of a thread that has ended */
    bool exact; /* else another thread may have freed the block just now: see below */
};

/* What is known of the live block that p lies in. False for every other value: wild or freed pointers, stacks, globals, one past
 * the end. The memory at p is not touched. Any thread may ask while others allocate; in libbrainmm whether a block of another
 * thread's heap, or of one of the program's own, of up to 32 KiB, is live is then known as it was a moment ago, and exact is false; so
 * it is where a thread stopped in the middle of giving blocks like this one back. */
BMM_API bool bmm_memory_options(const void *p, struct bmm_memory_options *options);

/* Calls visit for every live block of the process, until it says false; the C library's own are among them. visit may allocate and
 * free. Exact for the calling thread's blocks, and for all while other threads stand still outside of the allocator; else a
 * block that comes or goes meanwhile may be missed, or visited although it is gone. */
BMM_API void bmm_heap_walk(bool (*visit)(const struct bmm_memory_options *block, void *context), void *context);

/* ---- statistics ---- */

#define BMM_STATS_CLASSES 72 /* sizes of slots */

struct bmm_stats_line {
    size_t block_bytes;    /* of each slot; 0: of several sizes */
    size_t live_count;     /* blocks */
    size_t live_bytes;     /* that they take, as in block_size of bmm_memory_options */
    size_t free_bytes;     /* in the same spans */
    size_t peak_bytes;     /* of spans, or of blocks larger than a slot: most at any time */
    uint64_t purged_bytes; /* of them: given back until now, to the system or for another use */
};

struct bmm_stats {
    size_t mapped_bytes;   /* address space that holds blocks or can hold them at once */
    size_t resident_bytes; /* of the process, as the system says; 0: it does not */
    size_t kept_bytes;     /* free, with memory still behind it */
    uint64_t purged_bytes; /* given back to the system until now */
    struct bmm_stats_line kinds[BMM_MEMORY_KIND_LAST + 1]; /* by enum bmm_memory_kind */
    struct bmm_stats_line classes[BMM_STATS_CLASSES];      /* of slots: the kinds small and medium in full */
};

/* What the heap holds, counted now: as bmm_heap_walk, exact while nobody else allocates. Nothing is counted where blocks are
 * allocated, so this takes time: about a quarter of a millisecond for each GiB of small blocks. */
BMM_API void bmm_stats(struct bmm_stats *stats);

/* The same as JSON, {"version":1, "mapped_bytes":…, "kinds":[…], "classes":[…]} with the names above, and a NUL, as far as capacity
 * goes. Returns the bytes that all of it has without the NUL; the next call may have some more. It allocates nothing. */
BMM_API size_t bmm_stats_json(char *buffer, size_t capacity);

/* Whether a report of blocks not freed is written to stderr when the program ends. libbrainmm_debug in mode leak or check
 * says who allocated them; libbrainmm writes a census of their sizes and addresses. */
BMM_API void bmm_report_leaks_on_shutdown(bool on);

/* ---- as COM's IMalloc ----
 *
 * Code that was written against that ports by search and replace: the same calls, of the same meaning, by these names. The blocks
 * are as any others: bmm_free takes them, and free here takes those of malloc. */
struct bmm_imalloc {
    void *(*alloc)(size_t size);            /* of 0 bytes a block as well. NULL: ENOMEM */
    void *(*realloc)(void *p, size_t size); /* as bmm_realloc: p NULL: alloc; else size 0: frees p, NULL */
    void (*free)(void *p);
    size_t (*get_size)(const void *p); /* as bmm_usable_size, but NULL: (size_t)-1 */
    int (*did_alloc)(const void *p);   /* 1: a live block starts at p. 0: none does. NULL: -1 */
    void (*heap_minimize)(void);       /* as bmm_heap_minimize */
};

/* The table, the same at every call. did_alloc takes any pointer and does not touch the memory there; it is as exact as
 * bmm_memory_options. */
BMM_API const struct bmm_imalloc *bmm_imalloc(void);

/* ---- heaps of the program's own: what one has can be freed all at once ----
 *
 * Blocks of such a heap are as any others: free and bmm_free take them, from any thread, and realloc and bmm_reget keep them in it. Any
 * thread may allocate from it; nobody may use its blocks, or it, while it is cleared or when it is destroyed. NULL for heap: only
 * where it says so. */
struct bmm_heap;

BMM_API struct bmm_heap *bmm_heap_create(void); /* NULL: ENOMEM */
BMM_API void *bmm_heap_malloc(struct bmm_heap *heap, size_t size);
BMM_API void *bmm_heap_calloc(struct bmm_heap *heap, size_t count, size_t size);
BMM_API void *bmm_heap_malloc_aligned(struct bmm_heap *heap, size_t align, size_t size);
/* Whether the live block that p lies in is the heap's. p may be anything, as for bmm_memory_options. */
BMM_API bool bmm_heap_owns(const struct bmm_heap *heap, const void *p);
/* Frees all blocks of it. In libbrainmm in a time that depends on how much memory they take, and not on how many they are. */
BMM_API void bmm_heap_clear(struct bmm_heap *heap);
/* The same, and the heap is no more. NULL: nothing. */
BMM_API void bmm_heap_destroy(struct bmm_heap *heap);

/* ---- expected leaks: blocks that a report at the end is not to call leaks ----
 *
 * libbrainmm_debug (leak, check) lists them apart. libbrainmm leaves them out of its census, where it knows a size by the slot that
 * it takes, and takes a block's mark for as good when another block has come to its place. False with errno: ENOMEM, EINVAL, or
 * ENOTSUP of what libbrainmm cannot do; nothing changes then. */

/* The live block that starts at p, until it is freed or resized; else EINVAL. */
BMM_API bool bmm_expect_leak(const void *p);
BMM_API bool bmm_unexpect_leak(const void *p);

/* count more blocks of just that size, whichever. Taking back more than were expected, none, or more than can be counted: EINVAL. In
 * libbrainmm there is room for 1024 sizes and blocks, then ENOMEM. */
BMM_API bool bmm_expect_leaks(size_t size, size_t count);
BMM_API bool bmm_unexpect_leaks(size_t size, size_t count);

/* All blocks that were allocated with a function on the stack whose name the pattern matches, as fnmatch does (*, ?, [abc]). Taken back
 * by the same pattern. libbrainmm: ENOTSUP. */
BMM_API bool bmm_expect_leaks_of(const char *pattern);
BMM_API bool bmm_unexpect_leaks_of(const char *pattern);

/* What the calling thread allocates from push until the pop that belongs to it, and still has then; scopes that are open when the thread or the
 * process ends, end with it. Pop looks at all blocks. EINVAL: no scope is open. libbrainmm: nothing is done; true. */
BMM_API void bmm_expect_push(void);
BMM_API bool bmm_expect_pop(void);

/* ---- JIT heaps: memory for code that a program writes while it runs ----
 *
 * What is got is a *piece*. It is written at one address and executed at another, or at the same: that depends on what the
 * system allows, so ask always. Where it refuses memory that can be written and executed (SELinux, PaX, seccomp, prctl), and
 * where BMM_JIT_DUAL_VIEWS asks for it, each piece has two views of the same memory, neither of which is both.
 *
 *     unsigned char *writable = bmm_jit_get(heap, size);
 *     … write the code …
 *     bmm_jit_publish(heap, writable, size);
 *     ((void (*)(void))bmm_jit_code(heap, writable))();
 *     bmm_jit_free(heap, writable);
 *
 * Pieces are no blocks: free, realloc and bmm_free refuse them. What is known of them stands elsewhere, so code that goes wrong
 * overwrites nothing but code; and their memory is used for pieces of the same heap only, until the system has it again.
 *
 * A heap is for one thread at a time, but for bmm_jit_sync_get, bmm_jit_sync_free, bmm_jit_code, bmm_jit_data and
 * bmm_jit_publish, which all threads may call at the same time as long as they do not call the others. NULL for heap: only
 * where it says so.
 *
 * A forked child has a copy of all heaps and pieces, at the same addresses; with two views fork takes the time to copy them. If
 * there is no memory or descriptor for that, those pieces remain the parent's: the child can execute and free them, but not
 * write to them. A heap that another thread was at while this one forked is of no use in the child, unless by the calls for
 * several threads. (Children of vfork and of the bare system call share pieces with two views with their parent.) */
struct bmm_jit_heap;

enum bmm_jit_flags { BMM_JIT_DUAL_VIEWS = 1 };

/* flags: 0 or BMM_JIT_DUAL_VIEWS. NULL: EINVAL (flags), ENOMEM. */
BMM_API struct bmm_jit_heap *bmm_jit_create(unsigned flags);

/* Whether new pieces have two views. May become true when the process gives up the right to have one. */
BMM_API bool bmm_jit_has_dual_views(const struct bmm_jit_heap *heap);

/* Where to write a piece of size bytes (0 counts as 1), a multiple of 16; what is there is anything. NULL: ENOMEM, or EACCES: the
 * system lets the process have no code of its own making. */
BMM_API void *bmm_jit_get(struct bmm_jit_heap *heap, size_t size);
BMM_API void *bmm_jit_sync_get(struct bmm_jit_heap *heap, size_t size);

/* Where an address in a piece is executed, and where it is written, whichever of the two it is. NULL, EINVAL: it lies in no
 * piece of this heap. A piece that another thread frees meanwhile is there or is not. */
BMM_API void *bmm_jit_code(const struct bmm_jit_heap *heap, const void *writable);
BMM_API void *bmm_jit_data(const struct bmm_jit_heap *heap, const void *code);

/* Code that was written to size bytes from there on can be executed now, by threads that learn of it after this. To be called
 * after each change; on x86 it costs next to nothing. The address may be of either view. False, EINVAL: those bytes do not all lie in
 * one piece of this heap; nothing was done. */
BMM_API bool bmm_jit_publish(const struct bmm_jit_heap *heap, const void *writable, size_t size);

/* Ends the piece that starts at p, in either view: nobody may be executing it. False, EINVAL: none of this heap does; nothing
 * was done. */
BMM_API bool bmm_jit_free(struct bmm_jit_heap *heap, void *p);
BMM_API bool bmm_jit_sync_free(struct bmm_jit_heap *heap, void *p);

/* Ends all pieces; the heap is as new, and all memory is the system's. */
BMM_API void bmm_jit_clear(struct bmm_jit_heap *heap);

/* The same, and the heap is no more. NULL: nothing. */
BMM_API void bmm_jit_destroy(struct bmm_jit_heap *heap);

#ifdef __cplusplus
#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif
}
#endif

#endif
