/* The C++ operators new and delete: who answers to them, and what stands behind those that the program left alone.
 *
 * Words. *Family*: the operators whose blocks may meet: single or array, plain or aligned. Its number is the kind of
 * its blocks. *Whole*: nobody replaced any operator of the family, nor of the one its defaults call.
 *
 *   array, aligned ──► single, aligned          An operator of a whole family goes straight to the heap and tells
 *   array, plain   ──► single, plain            its kind. Any other does what the standard says its default does,
 *                                               by name, so that the program's is found; and tells no kind.
 *
 * The nothrow forms of new stand apart, because their default catches what the throwing form throws, and C cannot.
 * The C++ runtime's own can. The archives leave them out, and the linker takes the runtime's; the shared libraries,
 * which come before the runtime, hand over to it whenever there might be something to catch.
 */
#ifndef BMM_OVERRIDE_CXX_H
#define BMM_OVERRIDE_CXX_H

#include "core/assert.h"
#include "core/atomic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Weak, so that a program linked with the archive may bring its own; and so that the compiler does not take it for
 * granted that a call by name ends here. */
#define BMM__OPERATOR __attribute__((visibility("default"), weak))

/* Declares an operator, and the second name of ours, which nobody can replace. */
#define BMM__DECLARE_OPERATOR(result, name, ...) \
    result name(__VA_ARGS__); \
    __attribute__((visibility("hidden"))) result bmm__own##name(__VA_ARGS__)

/* All of one letter: `n` and `d` are what mangled names say for single (w, l) or array (a, a). */
#define BMM__DECLARE_OPERATORS(n, d) \
    BMM__DECLARE_OPERATOR(void *, _Zn##n##m, size_t size); \
    BMM__DECLARE_OPERATOR(void *, _Zn##n##mRKSt9nothrow_t, size_t size, const void *tag); \
    BMM__DECLARE_OPERATOR(void *, _Zn##n##mSt11align_val_t, size_t size, size_t align); \
    BMM__DECLARE_OPERATOR(void *, _Zn##n##mSt11align_val_tRKSt9nothrow_t, size_t size, size_t align, const void *tag); \
    BMM__DECLARE_OPERATOR(void, _Zd##d##Pv, void *p); \
    BMM__DECLARE_OPERATOR(void, _Zd##d##Pvm, void *p, size_t size); \
    BMM__DECLARE_OPERATOR(void, _Zd##d##PvRKSt9nothrow_t, void *p, const void *tag); \
    BMM__DECLARE_OPERATOR(void, _Zd##d##PvSt11align_val_t, void *p, size_t align); \
    BMM__DECLARE_OPERATOR(void, _Zd##d##PvmSt11align_val_t, void *p, size_t size, size_t align); \
    BMM__DECLARE_OPERATOR(void, _Zd##d##PvSt11align_val_tRKSt9nothrow_t, void *p, size_t align, const void *tag)
BMM__DECLARE_OPERATORS(w, l);
BMM__DECLARE_OPERATORS(a, a);

/* Bit of each family known to be whole. None at first: the question is asked when an operator of the family is first
 * called, which may be before any constructor of ours. */
extern __attribute__((visibility("hidden"))) uint32_t bmm__families_whole;

static inline bool bmm__family_is_whole(unsigned family)
{
    return BMM__LIKELY((bmm__load_operand(&bmm__families_whole) & 1u << family) != 0);
}

/* The same, for certain. */
bool bmm__family_ask(unsigned family);

/* Of the C++ runtime; `caller` has called the operator. The handler that std::set_new_handler has set, NULL: none. And what throws
 * std::bad_alloc; where there is no runtime it says so and stops the program. */
typedef void bmm__new_handler(void);
bmm__new_handler *bmm__cxx_new_handler(const void *caller);
_Noreturn void bmm__cxx_throw_bad_alloc(const void *caller);

/* In the shared libraries: what the C++ runtime behind us has under that name: the global one, or else that of the module that
 * `caller` lies in (a C++ plug-in of a C program brings its runtime along, unseen by others). NULL: none. */
void *bmm__cxx_runtime(const char *name, const void *caller);

#endif
