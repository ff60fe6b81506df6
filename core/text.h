/* One line of text for stderr, put together on the stack without libc's stdio: messages come before libc is up, from
 * a program whose heap is damaged, and after the last destructor.
 *
 * Invariants
 *  T1  used ≤ capacity of data; what does not fit is cut, the line end is always there.
 */
#ifndef BMM_TEXT_H
#define BMM_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define BMM__TEXT_BYTES 1024

struct bmm__text {
    size_t used;
    char data[BMM__TEXT_BYTES];
};

void bmm__text_begin(struct bmm__text *text); /* empty, then "brainmm: " */
void bmm__text_put(struct bmm__text *text, const char *string);
void bmm__text_put_bytes(struct bmm__text *text, const char *bytes, size_t count);
void bmm__text_put_decimal(struct bmm__text *text, uint64_t number);
void bmm__text_put_hex(struct bmm__text *text, uint64_t number); /* 0x… */
void bmm__text_send(struct bmm__text *text);                     /* adds the line end, one write */

#endif
