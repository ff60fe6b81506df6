/* Leaks for the eye: what several processes leaked at the same place is one row. A build runs the same compiler a
 * thousand times, and its leak should be read once. */
#ifndef BMM_REPORT_MERGE_H
#define BMM_REPORT_MERGE_H

#include "report/report.h"

struct bmm__merged_leak {
    const struct bmm__leak *leak; /* of the first process; class, kind, type, fingerprint and stack are those of all */
    uint64_t bytes, blocks;       /* sums */
    uint32_t process_count;
    uint32_t last_process; /* that was added */
};

struct bmm__merged_leaks {
    struct bmm__merged_leak *rows; /* by bytes, largest first */
    uint32_t count, capacity;
};

/* Same class, kind, type and stack, as it reads (stack_same.h). Freed by _free. */
struct bmm__merged_leaks bmm__merge_leaks(const struct bmm__report *report);
void bmm__merged_leaks_free(struct bmm__merged_leaks *merged);

#endif
