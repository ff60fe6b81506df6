/* What the program said it would leave behind (brainmm.h, bmm_expect_leaks and bmm_expect_leaks_of), as its snapshot has it. */
#ifndef BMM_REPORT_EXPECTED_H
#define BMM_REPORT_EXPECTED_H

#include "report/frame.h"
#include "report/snapshot_read.h"

#include <stdbool.h>
#include <stdint.h>

struct bmm__expected {
    struct bmm_snapshot_expected *rules;
    uint32_t count, capacity;
};

/* *expected is zero. Freed by bmm__expected_free. */
void bmm__expected_read(struct bmm__expected *expected, const struct bmm__snapshot *snapshot);
void bmm__expected_free(struct bmm__expected *expected);

/* Whether some more blocks of that size are expected. */
bool bmm__expected_has_size(const struct bmm__expected *expected, uint64_t size);
/* One of them was found. */
void bmm__expected_take_size(struct bmm__expected *expected, uint64_t size);

/* Whether all blocks with that stack are expected. */
bool bmm__expected_has_stack(const struct bmm__expected *expected, const struct bmm__stack *stack);

#endif
