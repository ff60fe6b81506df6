/* What runs left because they were killed, or could not write their report: found by later runs, and removed a week after that.
 *
 *   made ─► locked, marked: "host" ── a run finds nobody there ──► "host", "abandoned"; the mark's time is that of this
 *                             ▲                                           │  │ a week later, still nobody
 *                             └──────── one finds somebody there ─────────┘  ▼ removed
 *
 * How old a directory or a snapshot is says nothing: stores to mapped memory do not change it, and a run may last for weeks. */
#ifndef BMM_VIEWER_PLACE_LEFT_H
#define BMM_VIEWER_PLACE_LEFT_H

#include <dirent.h>
#include <stdbool.h>

/* Marks a run's new directory, which is open. Without a mark it is never removed. */
void bmm__place_mark(int directory);

/* Removes what is in a run's directory and may_go (NULL: all), and at last, if that was all, the mark: what is broken off is found again. */
void bmm__place_empty(DIR *directory, bool (*may_go)(int directory, const char *name));

/* Looks at the runs' directories in that one: those of this user and this host, marked, that hold snapshots alone, that nobody
 * has locked and of which nobody has a snapshot open. */
void bmm__place_sweep(const char *parent);

#endif
