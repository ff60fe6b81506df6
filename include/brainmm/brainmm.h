/* BrainMM: the allocator's own calls. Every name of libc (malloc, free, …) and every C++ operator new and delete is
 * provided as well, by the same heap: blocks may be obtained by one and given back by another.
 *
 * Sizes and alignments in bytes. Every address is a multiple of 16. All functions are thread-safe; none is
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

#ifdef __cplusplus
}
#endif

#endif
