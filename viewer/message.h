/* What the viewer says to people: lines on stderr that begin with "brainmm: ". */
#ifndef BMM_VIEWER_MESSAGE_H
#define BMM_VIEWER_MESSAGE_H

/* Exit statuses of the viewer itself; `run` has the program's besides. */
enum bmm__status {
    BMM_STATUS_GOOD = 0,
    BMM_STATUS_LEAKS = 1,
    BMM_STATUS_NOT_RUN = 2, /* the check could not run, or the command line is wrong */
    BMM_STATUS_CORRUPTION = 3
};

/* One line; the newline is added. */
void bmm__say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, and returns BMM_STATUS_NOT_RUN: `return bmm__refuse(…)`. */
int bmm__refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
