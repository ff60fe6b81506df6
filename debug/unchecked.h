/* Children that this process starts and that cannot be checked: told to the report, so that a green one never means
 * "not looked at". Only while the library was preloaded: a library that the program itself is linked with was never
 * meant to be in its children.
 *
 * Invariants
 *  N1  Appended without a lock and without allocation, also from a child of vfork, for whom the record is the parent's.
 */
#ifndef BMM_UNCHECKED_H
#define BMM_UNCHECKED_H

#include <stdbool.h>

void bmm__unchecked_open(void);       /* when the recorder is open: makes the chunk */
void bmm__unchecked_start(void);      /* learns whether the library was preloaded */
void bmm__unchecked_fork_child(void); /* the inherited chunk was emptied */

/* Whether children are to be told of: the library was preloaded. */
bool bmm__unchecked_is_wanted(void);

/* Before path is started with environment (NULL-terminated): notes it if it cannot be checked. */
void bmm__unchecked_look(const char *path, char *const environment[]);

#endif
