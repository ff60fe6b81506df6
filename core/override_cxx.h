/* The C++ operators by their mangled names, ours by names that nobody can replace, and who of them the program replaced.
 * In a file that defines an operator the compiler may take its address for granted; hence override_cxx_replaced.c. */
#ifndef BMM_OVERRIDE_CXX_H
#define BMM_OVERRIDE_CXX_H

#include <stdbool.h>
#include <stddef.h>

void *_Znwm(size_t size);
void *_Znam(size_t size);
void *_ZnwmSt11align_val_t(size_t size, size_t align);
void *_ZnamSt11align_val_t(size_t size, size_t align);
void _ZdlPv(void *p);
void _ZdlPvm(void *p, size_t size);
void _ZdlPvSt11align_val_t(void *p, size_t align);
void _ZdlPvmSt11align_val_t(void *p, size_t size, size_t align);
void _ZdaPv(void *p);
void _ZdaPvm(void *p, size_t size);
void _ZdaPvSt11align_val_t(void *p, size_t align);
void _ZdaPvmSt11align_val_t(void *p, size_t size, size_t align);

/* Those of the program that ours forward to; NULL: it has none. */
struct bmm__cxx_replaced {
    void *(*new_one)(size_t);
    void *(*new_aligned)(size_t, size_t);
    void (*delete_one)(void *);
    void (*delete_array)(void *);
    void (*delete_aligned)(void *, size_t);
    void (*delete_array_aligned)(void *, size_t);
    bool has_any; /* of all twelve */
};
void bmm__cxx_find_replaced(struct bmm__cxx_replaced *replaced);

#endif
