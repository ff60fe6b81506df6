/* A library in an archive that loses what it loads. */
#ifndef CARGO_H
#define CARGO_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The number of bytes loaded; they are nobody's. */
size_t cargo_load(size_t count);

#ifdef __cplusplus
}
#endif

#endif
