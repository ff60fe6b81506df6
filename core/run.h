/* Runs: blocks that are no slots, whatever holds them: OS pages side by side (page_run.h), granules of an arena, or a mapping
 * of the system's. Of each is known what it is for, so that calls for one use do not take what another made.
 */
#ifndef BMM_RUN_H
#define BMM_RUN_H

#include "core/client.h"
#include "core/span.h"

/* size not 0, at most PTRDIFF_MAX. *is_zero: it reads as zero. NULL: out of memory. */
void *bmm__run_alloc(size_t size, size_t align, enum bmm__use use, bool *is_zero);

/* What the run that address lies in is for. span is that of the address, and not of slots. */
enum bmm__use bmm__run_use(const struct bmm__span *span, uintptr_t address);

/* enum bmm_memory_kind of it. */
unsigned bmm__run_kind(const struct bmm__span *span, enum bmm__use use);

/* The span of one run is for that use from now on. */
void bmm__run_set_use(struct bmm__span *span, enum bmm__use use);

/* The span of one run has so many bytes from now on. */
void bmm__run_set_bytes(struct bmm__span *span, size_t bytes);

/* Whether a run for that use starts at the address, which may be any. */
bool bmm__run_is_start(uintptr_t address, enum bmm__use use);

/* ---- access rights ---- */

/* Notes that pages of these will have other rights than to be read and written: before they get them. */
void bmm__run_note_rights(struct bmm__span *span, uintptr_t start, uintptr_t end);
/* Makes them readable and writable again, if they were noted. Before they are given back, moved or shared out anew. False: the system
 * refuses, for the process has too many mappings, say: they must not be used again. */
bool bmm__run_restore_rights(struct bmm__span *span, uintptr_t start, size_t bytes);
/* Whether some of the page's span or area were noted. */
bool bmm__run_has_rights(const struct bmm__span *span, uintptr_t address);

#endif
