/* Whose the file of the option report is, when programs that a process starts inherit the option with the environment:
 * each would write it anew, and what the others found would be lost.
 *
 * The first process that gets an options text claims its files, and says so in the environment, by a variable that
 * whoever it starts inherits: BRAINMM_CLAIM=<pid>.<birth>:<options text>. It stays the one after exec. Another process
 * with the same text writes the file with its process id inserted: app.json becomes app.1234.json. */
#ifndef BMM_CLAIM_H
#define BMM_CLAIM_H

#include <stddef.h>

/* Before the program runs: claims, unless somebody has. */
void bmm__claim_start(void);

/* Where this process writes the report named so, absolute: report itself, or buffer. NULL: the buffer is too small. */
const char *bmm__claim_path(const char *report, char *buffer, size_t capacity);

#endif
