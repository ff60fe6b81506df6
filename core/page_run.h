/* Page runs: blocks of more than a slot and up to 1 MiB, in OS pages, side by side in areas of 4 MiB that are spans.
 *
 *   area   │▒▒▒ a ▒▒▒│   │▒ b ▒│▒▒▒▒ c ▒▒▒▒│       │      a run map whose unit is the OS page
 *   starts  1             1     1                         one bit per first page; length[] stands there, too
 *
 * A run grows to the right where pages are free, else to the left and right together with one move. No lock: a run is
 * whose bits one has set (run_map.h), and its start bit is taken off by exactly one free.
 *
 * Invariants
 *  G1  length, attributes and the start bit of a run are written by the holder of its pages.
 *  G2  Pages that are not held can be read and written: other rights are taken back before they are given.
 *  G3  An area whose pages are all held by bmm__page_run_age ends; its tables wait for the next area.
 */
#ifndef BMM_PAGE_RUN_H
#define BMM_PAGE_RUN_H

#include "core/client.h"
#include "core/purge_work.h"
#include "core/span.h"

#define BMM__PAGE_RUN_BYTES_MAX ((size_t)1 << 20)
#define BMM__PAGE_RUN_ALIGN_MAX BMM__GRANULE

/* size at most BMM__PAGE_RUN_BYTES_MAX, align at most BMM__PAGE_RUN_ALIGN_MAX. *is_zero: it reads as zero. NULL: out of
 * memory. */
void *bmm__page_run_alloc(size_t size, size_t align, enum bmm__use use, bool *is_zero);

struct bmm__page_run {
    uintptr_t start;
    size_t bytes;
    uint32_t index; /* of its first page in the span; of page if there is no run */
    uint8_t align_shift;
    uint8_t use;  /* enum bmm__use */
    bool is_free; /* no run there: start and bytes are those of the page */
};
/* The run that the address lies in. span is of kind BMM__SPAN_RUNS and address inside it. */
struct bmm__page_run bmm__page_run_find(const struct bmm__span *span, uintptr_t address);

/* False: start is not the start of a run (or was freed already). */
bool bmm__page_run_free(struct bmm__span *span, void *start);

/* Gives the run's tail back, or takes pages on the right. False: they are in use, nothing changed. */
bool bmm__page_run_resize(struct bmm__span *span, void *start, size_t size);
/* Grows by taking pages on both sides and moving the content, if keeps, to the left. NULL: not enough, nothing changed. */
void *bmm__page_run_slide(struct bmm__span *span, void *start, size_t size, bool keeps);

/* As bmm__run_note_rights, bmm__run_restore_rights and bmm__run_has_rights, in an area. */
void bmm__page_run_note_rights(const struct bmm__span *span, uintptr_t start, uintptr_t end);
bool bmm__page_run_restore_rights(const struct bmm__span *span, uintptr_t start, size_t bytes);
bool bmm__page_run_has_rights(const struct bmm__span *span, uintptr_t address);

/* A slice of a pass over all areas, as bmm__run_map_age; areas without a run end. Under the purge lock. */
bool bmm__page_run_age(bool is_all, struct bmm__purge_work *work);
/* Gives back what is free in all areas, as bmm__run_map_purge_last. Under the purge lock. */
bool bmm__page_run_purge_last(struct bmm__purge_place *place, struct bmm__purge_work *work);

#endif
