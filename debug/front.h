/* Who serves the program's malloc: this library, or another that stands in front of it, such as one that the program
 * brings itself. Then nothing of what the program does is seen here, and a report must not say "no errors".
 *
 * Where that other one is a second copy of this library (the program is linked with it, and it was preloaded besides),
 * this copy stands back, and the process has one recorder. */
#ifndef BMM_FRONT_H
#define BMM_FRONT_H

/* When libc is usable. Notes it in the recorder, or switches the mode to off. */
void bmm__front_start(void);

#endif
