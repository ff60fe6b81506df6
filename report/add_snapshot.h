/* One process into the report: from its snapshot to leaks grouped by stack, errors, modules, unchecked children. */
#ifndef BMM_REPORT_ADD_SNAPSHOT_H
#define BMM_REPORT_ADD_SNAPSHOT_H

#include "report/report.h"
#include "report/symbol.h"

#include <stdbool.h>

/* What the reader of the snapshot knows of the process from elsewhere. */
struct bmm__process_facts {
    bool is_running; /* it still lives: what it has is not given up yet */
    bool has_wait;   /* wait_status is that of waitpid */
    int wait_status;
    struct bmm__prepared *prepared; /* from this very file, before; NULL: nothing is. Stays the caller's */
};

/* Stacks of a process that has not ended yet, which are half of the work. */
struct bmm__prepared;

/* To prepare while the process runs: only what is cheap (bmm__symbolizer_be_modest), and asked now and then whether it is enough. The
 * file is let go of again. */
struct bmm__prepare_limits {
    bool (*is_enough)(void *context);
    void *context;
};

/* The stacks of the blocks that are in use now; nothing in the report tells of them before add_snapshot. limits: NULL for none, where
 * the process is ending. earlier: what was prepared from the same file before, or NULL; it is taken over as far as it still holds, and
 * is gone afterwards, but where the file cannot be read: then it is returned. Freed by _free, and before the report. */
struct bmm__prepared *bmm__report_prepare(struct bmm__report *report, struct bmm__symbolizer *symbolizer,
                                          const char *path, struct bmm__prepared *earlier,
                                          const struct bmm__prepare_limits *limits);
void bmm__prepared_free(struct bmm__prepared *prepared);

/* False: the report is unchanged, why tells what is wrong with the file. */
bool bmm__report_add_snapshot(struct bmm__report *report, struct bmm__symbolizer *symbolizer, const char *path,
                              const struct bmm__process_facts *facts, struct bmm__why *why);

/* When all processes are in: notes about modules whose symbols could not be found, and what helps. */
void bmm__report_add_symbol_notes(struct bmm__report *report, const struct bmm__symbolizer *symbolizer);

#endif
