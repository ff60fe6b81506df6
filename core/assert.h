/* Three prices. BMM_ASSERT: debug builds, anywhere. BMM_CHECK: always, off the hot path, for what the program did
 * wrong. BMM_VALIDATE: walks lists, validating builds only (BMM_VALIDATING). Errors of the machine are returned. */
#ifndef BMM_ASSERT_H
#define BMM_ASSERT_H

#include <stdbool.h>
#include <stddef.h>

_Noreturn void bmm__assert_failed(const char *what, const char *file, int line);

#ifdef BMM_DEBUG_BUILD
#define BMM_ASSERT(x) ((x) ? (void)0 : bmm__assert_failed(#x, __FILE__, __LINE__))
#else
#define BMM_ASSERT(x) ((void)0)
#endif

#ifdef BMM_VALIDATING
#define BMM_VALIDATE(x) ((x) ? (void)0 : bmm__assert_failed(#x, __FILE__, __LINE__))
#else
#define BMM_VALIDATE(x) ((void)0)
#endif

/* On a declaration: no other module can define it, so it is reached without a table (-fvisibility sees definitions
 * only). */
#define BMM__HIDDEN __attribute__((visibility("hidden")))
/* A table that is mostly never touched: behind all small variables, which so are on as few pages as they can (CMakeLists.txt). */
#define BMM__TABLE __attribute__((section(".bss.table")))

/* No instructions: they take one or two out of the paths that are counted. FORGET: from here on the compiler knows nothing
 * of where the value came from. RETURNED: the value is already where results are returned. BESIDE_RESULT: as FORGET, of a
 * value that is in another place. APART: this way is not joined to another one that ends alike. */
#define BMM__APART() __asm__ volatile("")
#define BMM__FORGET(value) __asm__("" : "+r"(value))
#define BMM__FORGET_AFTER(value, other) __asm__("" : "+r"(value) : "r"(other))
#if defined(__x86_64__)
#define BMM__RETURNED(value) __asm__("" : "+a"(value))
#define BMM__BESIDE_RESULT(value) __asm__("" : "+d"(value))
#else
#define BMM__BESIDE_RESULT(value) BMM__FORGET(value)
#define BMM__RETURNED(value) ((void)0)
#endif

#define BMM__LIKELY(x) __builtin_expect(!!(x), 1)
#define BMM__UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
