/* BrainMM's debug layer, from the program's side. These functions are in libbrainmm_debug only; they are declared weak,
 * so that a program that is also linked with plain libbrainmm can ask:
 *
 *     if (bmm_check_all != NULL && bmm_check_all() != 0) …
 *
 * Thread-safe. None of them allocates from the program's heap.
 */
#ifndef BRAINMM_DEBUG_H
#define BRAINMM_DEBUG_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define BMM_DEBUG_API __attribute__((visibility("default"), weak))
#else
#define BMM_DEBUG_API
#endif

/* Verifies the guards of every live block and the poison of every freed block that is still kept back, now. What is
 * found goes into the report as errors (noticed on demand) and is repaired, so that it is counted once.
 * Returns how many blocks were damaged; 0 also in the modes off and leak, where there are no guards. errno is kept. */
BMM_DEBUG_API size_t bmm_check_all(void);

/* How many errors were noticed in this process so far, repeats included. */
BMM_DEBUG_API size_t bmm_error_count(void);

#ifdef __cplusplus
}
#endif

#endif
