/* The words of the report for the numbers of the snapshot. One word means one thing in every format, in the viewer
 * and in the man pages. Numbers that are not known give "unknown". */
#ifndef BMM_REPORT_WORDS_H
#define BMM_REPORT_WORDS_H

#include <stdint.h>

const char *bmm__word_mode(uint32_t mode);       /* enum bmm_mode */
const char *bmm__word_alloc_kind(uint32_t kind); /* enum bmm_alloc_kind */
const char *bmm__word_free_kind(uint32_t kind);  /* what gives such a block back: free, delete, delete[] … */
const char *bmm__word_error(uint32_t kind);      /* enum bmm_error_kind */
const char *bmm__word_moment(uint32_t moment);   /* enum bmm_error_moment */

#endif
