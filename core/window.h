/* The window: one long piece of address space in which spans live, so that free finds what it needs by one shift, one
 * comparison and one load.
 *
 *   table         start                                                                       start + capacity granules
 *   │ zeros … … … │ lists: one per granule │ bits │ descriptors: one per granule │ granule │ granule │ … │ not ours yet │
 *                   lists and descriptors committed as far as window_count         └─ window_count counts from start ─┘
 *
 * The lists are the end of a table that begins with address 0: its entry for granule g is the 8 bytes at table + 8 g, and
 * says how far from table the list lies. The part of it that belongs to addresses below the window can only be read and is
 * never written, so it costs address space alone, 1 byte for 8 KiB: that is why the window begins as low as it does. An
 * entry of 0 leads to the zeros at the table's start: a list of nobody.
 *
 * It begins far from where the system puts mappings, and is reserved as it grows, so that the process looks little larger
 * than it is and keeps within limits that are set when it runs already. Where the system gives no place of choice, all
 * of it is reserved at the start, with 16 GiB for the zeros, since it may come to lie anywhere.
 *
 * In the secure variant the table begins with the window's first granule, which may lie anywhere then, for two instructions
 * more.
 *
 * Invariants
 *  W1  Every list entry below bmm__window_limit is that of a list, 0 where no span of slots is; every descriptor entry is a
 *      descriptor or NULL.
 *  W2  start, count and limit are 0 until the window exists: then every address is outside.
 *  W3  The window is never taken away and never moves; where none can be had (a tight limit on address space), spans
 *      live in arenas outside and are found by page_map.h alone, a little slower.
 */
#ifndef BMM_WINDOW_H
#define BMM_WINDOW_H

#include "core/assert.h"
#include "core/os.h"
#include "core/run_map.h"

struct bmm__span;

/* Words and no struct, hidden: the fast path then names each in one instruction. */
extern uintptr_t bmm__window_limit BMM__HIDDEN; /* granules from address 0; release when it grows */
#ifdef BMM_SECURE
#define BMM__WINDOW_TABLE bmm__window_start
#define BMM__WINDOW_TABLE_FROM bmm__window_start
#define BMM__WINDOW_TABLE_COUNT bmm__window_count
#else
extern uintptr_t bmm__window_table BMM__HIDDEN;
#define BMM__WINDOW_TABLE bmm__window_table
#define BMM__WINDOW_TABLE_FROM 0
#define BMM__WINDOW_TABLE_COUNT bmm__window_limit
#endif
extern uintptr_t bmm__window_start BMM__HIDDEN;
extern size_t bmm__window_count BMM__HIDDEN; /* granules; release when it grows */
extern struct bmm__span **bmm__window_spans BMM__HIDDEN;

/* The window's granules; unit 0 is its first, which holds the table. */
extern struct bmm__run_map bmm__window_map;

#define BMM__WINDOW_ALIGN ((size_t)256 << 20) /* what alignments the indices of its granules can promise */

/* The window has a good part of the address space that the process may have: spans should be small (as far as it knows). */
extern bool bmm__window_is_tight BMM__HIDDEN;

/* Makes at least count more granules usable; makes the window at the first call. False: no room, or no memory. */
bool bmm__window_grow(size_t count);

#endif
