/* What the programs that replace some C++ operators share: counters, and calls of every form that the compiler cannot
 * take away. */
#ifndef REPLACED_HH
#define REPLACED_HH

/* Half a set of operators, and pointers off the start, are what is tested. */
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wunknown-warning-option"
#pragma GCC diagnostic ignored "-Wsized-deallocation"
#pragma GCC diagnostic ignored "-Wfree-nonheap-object"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <new>

#include "../plain.h"

static int news, arrays, aligned_news, deletes, array_deletes, sized_deletes, aligned_deletes;

static inline void forget(void)
{
    news = arrays = aligned_news = deletes = array_deletes = sized_deletes = aligned_deletes = 0;
}

static const std::align_val_t wide = std::align_val_t(64);

static inline bool is_wide(void *p)
{
    return p != nullptr && ((std::uintptr_t)p & 63) == 0;
}

#endif
