/* The window: one long reservation in which spans live, so that free finds a descriptor by one subtraction, one
 * comparison and one load.
 *
 *   start                                                                        start + capacity granules
 *   │ table: one descriptor per granule │ run map bits │ granule │ granule │ … │ not committed yet …     │
 *     committed as far as granule_count                  └──────── granule_count counts from start ───┘
 *
 * Invariants
 *  W1  Every table entry below granule_count is a descriptor; &bmm__empty_span where no span is.
 *  W2  start and granule_count are 0 until the window exists: then every address is outside.
 *  W3  The window is never taken away and never moves; where none can be had (a tight limit on address space), spans
 *      live in arenas outside and are found by page_map.h alone, a little slower.
 */
#ifndef BMM_WINDOW_H
#define BMM_WINDOW_H

#include "core/os.h"
#include "core/run_map.h"

struct bmm__span;

struct bmm__window {
    uintptr_t start;
    size_t granule_count; /* release when it grows */
};
extern struct bmm__window bmm__window;

/* The window's granules; unit 0 is its first, which holds the table. */
extern struct bmm__run_map bmm__window_map;

#define BMM__WINDOW_ALIGN ((size_t)256 << 20) /* what alignments the indices of its granules can promise */

/* Makes at least count more granules usable; makes the window at the first call. False: no room, or no memory. */
bool bmm__window_grow(size_t count);

#endif
