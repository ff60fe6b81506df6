/* The window: one long reservation in which spans live, so that free finds a descriptor by one subtraction, one
 * comparison and one load.
 *
 *   start                                                                        start + capacity granules
 *   │ table: one descriptor per granule │ run map bits │ granule │ granule │ … │ not committed yet …     │
 *     committed as far as window_count                    └───────── window_count counts from start ───┘
 *
 * Invariants
 *  W1  Every table entry below bmm__window_count is a descriptor; &bmm__empty_span where no span is.
 *  W2  start and bmm__window_count are 0 until the window exists: then every address is outside.
 *  W3  The window is never taken away and never moves; where none can be had (a tight limit on address space), spans
 *      live in arenas outside and are found by page_map.h alone, a little slower.
 */
#ifndef BMM_WINDOW_H
#define BMM_WINDOW_H

#include "core/assert.h"
#include "core/os.h"
#include "core/run_map.h"

struct bmm__span;

/* Two words and no struct, hidden: the fast path then names each in one instruction. */
extern uintptr_t bmm__window_start BMM__HIDDEN;
extern size_t bmm__window_count BMM__HIDDEN; /* granules; release when it grows */

/* The window's granules; unit 0 is its first, which holds the table. */
extern struct bmm__run_map bmm__window_map;

#define BMM__WINDOW_ALIGN ((size_t)256 << 20) /* what alignments the indices of its granules can promise */

/* Makes at least count more granules usable; makes the window at the first call. False: no room, or no memory. */
bool bmm__window_grow(size_t count);

#endif
