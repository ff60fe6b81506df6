/* What runs left because they were killed, or could not write their report: found by later runs, and removed a week after that.
 *
 *   made ─► marked: "host" ─── a run finds nobody there ───► "host", "abandoned"; the mark's time is that of this
 *                                                                    │ a week later, still nobody
 *                                                                    ▼ removed
 *
 * How old a directory or a snapshot is says nothing: stores to mapped memory do not change it, and a run may last for weeks. */
#ifndef BMM_VIEWER_PLACE_LEFT_H
#define BMM_VIEWER_PLACE_LEFT_H

#define BMM__PLACE_MARK ".brainmm-run"

/* Marks a run's new directory, which is open. Without a mark it is never removed. */
void bmm__place_mark(int directory);

/* Looks at the runs' directories in that one: those of this user and this host, marked, that hold snapshots alone, that nobody
 * has locked and of which nobody has a snapshot open. */
void bmm__place_sweep(const char *parent);

#endif
