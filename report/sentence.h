/* What happened, in one sentence without a full stop: the same words in the text report, in JSON and in SQLite. */
#ifndef BMM_REPORT_SENTENCE_H
#define BMM_REPORT_SENTENCE_H

#include "report/report.h"

#include <stddef.h>

/* "3 bytes changed behind a block of 10 bytes (malloc)". Returns text. */
const char *bmm__error_sentence(const struct bmm__error *error, char *text, size_t bytes);

/* "10: expected 0x5a, found 0x41 (first byte behind the block)". Returns text. */
const char *bmm__changed_sentence(const struct bmm__error *error, const struct bmm__changed *changed, char *text,
                                  size_t bytes);

/* "SIGSEGV", "signal 63" where it has no name. */
const char *bmm__signal_word(int signal, char *text, size_t bytes);

#endif
