/* What the program did wrong, in the recorder's table: at most 100 different errors, repeats counted.
 *
 * Two errors are the same if their kind and their three stacks are.
 *
 * Invariants
 *  E1  Lock-free: errors are reported from inside free, under a check, and in forked children.
 *  E2  An entry's key is taken first (CAS from 0), then the entry is written, then committed (release).
 *  E3  If no file will tell of it (private table, or table full), the error is one line on stderr at once.
 */
#ifndef BMM_ERROR_H
#define BMM_ERROR_H

#include "brainmm/snapshot.h"

#include <stdint.h>

#define BMM__ERRORS_MAX 100u

struct bmm__block;

void bmm__error_open(void);       /* when the recorder is open: makes the table */
void bmm__error_fork_child(void); /* the inherited table was emptied */

/* An error about a block, to be completed by the caller: everything the record says is filled in. */
struct bmm_snapshot_error bmm__error_about(const struct bmm__block *block, enum bmm_error_kind kind,
                                           enum bmm_error_moment moment);

/* Enters it; with on_error=stop this is the end. Fills in thread and time. */
void bmm__error_report(const struct bmm_snapshot_error *error);

/* One line: <what>: run 'brainmm show <this process's recorder>'. */
void bmm__error_say_where(const char *what);

uint32_t bmm__error_count(void); /* all reports of this process, repeats included */

#endif
