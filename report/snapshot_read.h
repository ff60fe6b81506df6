/* Reading a snapshot: every offset and length is proved before it is followed, so that a cut, damaged or hostile file
 * gives one clear line and never a fault. The format and its invariants S1–S5 are in brainmm/snapshot.h.
 *
 * Words. *Damaged element*: an element whose own numbers lead outside the file. In the file of a process that ended
 * by its exit hook it makes the whole file unreadable; in one that was killed in the middle of a store it is left out
 * and counted in damaged_count.
 *
 * Does not know: symbols, groups, what a leak is. The file may still be written while it is read: header and
 * directory are copied once, and only the copies are believed. Not survived: a file that is made shorter meanwhile.
 */
#ifndef BMM_REPORT_SNAPSHOT_READ_H
#define BMM_REPORT_SNAPSHOT_READ_H

#include "brainmm/snapshot.h"
#include "report/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bmm__stack_range {
    uint32_t first, count; /* ids [first, first + count) */
    uint32_t written;      /* of them, at the start, that were there before S5 was proved */
    const uint32_t *words;
};

struct bmm__snapshot {
    const unsigned char *bytes; /* the file, mapped read-only */
    uint64_t mapped_bytes;
    struct bmm_snapshot_header header; /* as it stood at opening; header.file_bytes ≤ mapped_bytes */
    struct bmm_snapshot_chunk *chunks; /* header.chunk_count of them, S2 proved */
    struct bmm__stack_range *ranges;   /* by first, not overlapping */
    uint32_t range_count;
    const uint64_t *code; /* what the numbers of sites stand for */
    uint64_t code_count;
    uint64_t damaged_count;
};

/* False: nothing is open, why tells what is wrong. The path is in the line. */
bool bmm__snapshot_open(struct bmm__snapshot *snapshot, const char *path, struct bmm__why *why);
/* The same of a file that was open before, and still is, as `earlier` (NULL: it was not): parents of stacks that were there then are
 * not looked at again. Who follows them looks anyway. */
bool bmm__snapshot_open_again(struct bmm__snapshot *snapshot, const char *path, const struct bmm__snapshot *earlier,
                              struct bmm__why *why);
void bmm__snapshot_close(struct bmm__snapshot *snapshot);
/* Lets go of the file: of what was read only where the ranges of stacks begin and end is still known. */
void bmm__snapshot_unmap(struct bmm__snapshot *snapshot);

/* ---- elements: a zeroed cursor, then next until false ---- */

struct bmm__cursor {
    uint32_t chunk;
    uint64_t offset; /* in the chunk */
};

bool bmm__snapshot_next_argument(const struct bmm__snapshot *s, struct bmm__cursor *c, const char **text,
                                 size_t *bytes);
bool bmm__snapshot_next_note(const struct bmm__snapshot *s, struct bmm__cursor *c, const char **text, size_t *bytes);
bool bmm__snapshot_next_span(const struct bmm__snapshot *s, struct bmm__cursor *c, struct bmm_snapshot_span *span);
bool bmm__snapshot_next_error(const struct bmm__snapshot *s, struct bmm__cursor *c, struct bmm_snapshot_error *error);
bool bmm__snapshot_next_thread(const struct bmm__snapshot *s, struct bmm__cursor *c,
                               struct bmm_snapshot_thread *thread);
bool bmm__snapshot_next_expected(const struct bmm__snapshot *snapshot, struct bmm__cursor *cursor,
                                 struct bmm_snapshot_expected *expected);

bool bmm__snapshot_next_type(const struct bmm__snapshot *s, struct bmm__cursor *c, struct bmm_snapshot_type *type);

struct bmm__module_record {
    uint64_t start, end, bias;
    uint32_t epoch;
    uint32_t build_id_bytes; /* ≤ 20 */
    uint8_t build_id[20];
    const char *path; /* NUL-terminated, in the mapping */
};
bool bmm__snapshot_next_module(const struct bmm__snapshot *s, struct bmm__cursor *c, struct bmm__module_record *module);

struct bmm__unchecked_record {
    uint32_t pid;
    const char *reason, *path; /* NUL-terminated, in the mapping */
};
bool bmm__snapshot_next_unchecked(const struct bmm__snapshot *s, struct bmm__cursor *c,
                                  struct bmm__unchecked_record *record);

/* The mirror records of a span that next_span returned: span.slot_count of them. */
const struct bmm_snapshot_mirror *bmm__snapshot_mirror(const struct bmm__snapshot *s,
                                                       const struct bmm_snapshot_span *span);

struct bmm__stack_node {
    const struct bmm__stack_range *range; /* that it is in; NULL before the first */
    uint32_t place;                       /* there */
    uint32_t site, parent;
};

/* The range that has the id; NULL: none. */
const struct bmm__stack_range *bmm__snapshot_stack_range(const struct bmm__snapshot *s, uint32_t id);

/* Goes to the node. False: there is no such node, or it is not written yet. Parents mostly lie before their children in one range. */
static inline bool bmm__snapshot_stack_node(const struct bmm__snapshot *s, uint32_t id, struct bmm__stack_node *node)
{
    const struct bmm__stack_range *range = node->range;
    if (range == NULL || id - range->first >= range->count)
        range = bmm__snapshot_stack_range(s, id);
    if (range == NULL || id == range->first) /* a parent comes before */
        return false;
    uint32_t place = id - range->first, site = range->words[place], before = range->words[place - 1];
    if (site == 0 || (site & BMM_STACK_HEAD) != 0 || before == 0)
        return false;
    *node = (struct bmm__stack_node){ range, place, site, id - 1 };
    if ((before & BMM_STACK_HEAD) != 0)
        node->parent = before & ~BMM_STACK_HEAD;
    return node->parent < id; /* S5, of this copy */
}

/* The code address of a node's site, with its epoch: BMM_STACK_ADDRESS, BMM_STACK_EPOCH. 0: it stands for none. */
uint64_t bmm__snapshot_site(const struct bmm__snapshot *s, uint32_t site);

#endif
