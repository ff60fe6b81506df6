/* BrainMM: the allocator's own calls. Every name of libc (malloc, free, …) and every C++ operator new and delete is
 * provided as well, by the same heap: blocks may be obtained by one and given back by another.
 *
 * Sizes and alignments in bytes. Every address is a multiple of 16. All functions are thread-safe (but see JIT heaps); none is
 * async-signal-safe. Errors: NULL with errno (ENOMEM, EINVAL); a block given to a call that fails stays as it was.
 */
#ifndef BRAINMM_BRAINMM_H
#define BRAINMM_BRAINMM_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
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

/* Bytes that may be used at p; constant while the block lives. In libbrainmm_debug the size asked for. NULL: 0. */
BMM_API size_t bmm_usable_size(const void *p);

/* A block at a multiple of align, a power of two from 16 up (else NULL, EINVAL). Freed by free or bmm_free. */
BMM_API void *bmm_malloc_aligned(size_t align, size_t size);

/* Collects what other threads freed of the calling thread's blocks, and gives empty spans and free pages back to the
 * system. True if something was given back. */
BMM_API bool bmm_thread_heap_minimize(void);

/* Whether a report of blocks not freed is written to stderr when the program ends. libbrainmm_debug in mode leak or check
 * says who allocated them; libbrainmm writes a census of their sizes and addresses. */
BMM_API void bmm_report_leaks_on_shutdown(bool on);

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
}
#endif

#endif
