/* A census: every block in use, counted by size, as plain lines on stderr. What libbrainmm can say of leaks without
 * records: how many, how big and where, not who. Allocates nothing. */
#ifndef BMM_CENSUS_H
#define BMM_CENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BMM__CENSUS_SIZES 128   /* different sizes that get a line each; the rest share one */
#define BMM__CENSUS_ADDRESSES 4 /* examples of each */

struct bmm__census_line {
    size_t bytes; /* of each block; 0 in the last line: several sizes */
    size_t count, total_bytes;
    uintptr_t addresses[BMM__CENSUS_ADDRESSES];
};

struct bmm__census {
    size_t line_count;
    struct bmm__census_line lines[BMM__CENSUS_SIZES + 1]; /* the last for what found no line */
};

/* *census is all zero at first. Always true. */
bool bmm__census_count(uintptr_t start, size_t bytes, struct bmm__census *census);

/* Writes it, most bytes first. Nothing at all for no blocks. */
void bmm__census_write(struct bmm__census *census);

#endif
