/* The snapshot of a process while it runs: how far it has come, and the word by which it says so.
 *
 * Read, never looked at where it is mapped: the process may cut its file short, which would be our end, at any time of its life. (Who
 * prepares a report maps it all, for some milliseconds now and then.)
 * The mapping is for the kernel, which looks at the word for who sleeps on it.
 */
#ifndef BMM_REPORT_SNAPSHOT_LIVE_H
#define BMM_REPORT_SNAPSHOT_LIVE_H

#include <stdbool.h>
#include <stdint.h>

struct bmm_snapshot_header;

/* All zero: none is open. */
struct bmm__snapshot_live {
    struct bmm_snapshot_header *header; /* for the kernel alone; NULL: not open */
    int file;
};

/* False: nothing is open. */
bool bmm__snapshot_live_open(struct bmm__snapshot_live *live, const char *path);
void bmm__snapshot_live_close(struct bmm__snapshot_live *live);

/* A futex, waked when it is no longer 0: the exit hook has begun. Valid until _close. NULL: none is open. */
uint32_t *bmm__snapshot_live_word(const struct bmm__snapshot_live *live);

/* False also where none is open or it cannot be read. */
bool bmm__snapshot_live_is_exiting(const struct bmm__snapshot_live *live);
bool bmm__snapshot_live_has_execed(const struct bmm__snapshot_live *live);

#endif
