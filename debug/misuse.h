/* Wrong frees: what a pointer that was given back should not have been.
 *
 * The order of judgement: pointer → state → kind → guards. A wrong pointer or state is ignored after it was reported,
 * nothing is freed; a wrong kind or size is reported, and the block is freed all the same.
 */
#ifndef BMM_MISUSE_H
#define BMM_MISUSE_H

#include "block.h"

#include "brainmm/snapshot.h"

#include "core/assert.h"

#include <stddef.h>
#include <stdint.h>

/* False where the program brought operators of its own: then a kind says nothing. Set before the first thread. */
extern bool bmm__kinds_are_judged BMM__HIDDEN;

/* The call passed an address that is not a live block. */
void bmm__misuse_pointer(uintptr_t address, enum bmm__block_is what, const struct bmm__block *block,
                         enum bmm_error_moment moment, unsigned kind, uint32_t stack);

/* The call passed a live block: 0, or what is wrong with its kind, size (SIZE_MAX: not given) or alignment (0). */
unsigned bmm__misuse_of_kind(const struct bmm__block *block, unsigned kind, size_t given_size, size_t given_align);

void bmm__misuse_kind(const struct bmm__block *block, enum bmm_error_kind what, enum bmm_error_moment moment,
                      unsigned kind, size_t given_size, size_t given_align, uint32_t stack);

#endif
