/* Which families are whole. See override_cxx.h. In a file of its own: where an operator is defined, the compiler may
 * think that it knows its address. */
#define _GNU_SOURCE
#include "core/override_cxx.h"

#include "brainmm/snapshot.h"

#include <dlfcn.h>
#include <string.h>

/* Not in the archives; then the linker leaves NULL, and the runtime's, if anybody calls them. */
#pragma weak bmm__own_ZnwmRKSt9nothrow_t
#pragma weak bmm__own_ZnamRKSt9nothrow_t
#pragma weak bmm__own_ZnwmSt11align_val_tRKSt9nothrow_t
#pragma weak bmm__own_ZnamSt11align_val_tRKSt9nothrow_t
#pragma weak _ZnwmRKSt9nothrow_t
#pragma weak _ZnamRKSt9nothrow_t
#pragma weak _ZnwmSt11align_val_tRKSt9nothrow_t
#pragma weak _ZnamSt11align_val_tRKSt9nothrow_t

typedef void any_function(void);

/* Who answers to the name, as the loader or the linker chose; and who would if nobody had replaced him. */
struct answer {
    any_function *found, *own;
};
#define ANSWER(name) \
    { \
        (any_function *)(name), (any_function *)(bmm__own##name) \
    }
#define PLAIN(n, d) \
    { \
        ANSWER(_Zn##n##m), ANSWER(_Zn##n##mRKSt9nothrow_t), ANSWER(_Zd##d##Pv), ANSWER(_Zd##d##Pvm), \
            ANSWER(_Zd##d##PvRKSt9nothrow_t) \
    }
#define ALIGNED(n, d) \
    { \
        ANSWER(_Zn##n##mSt11align_val_t), ANSWER(_Zn##n##mSt11align_val_tRKSt9nothrow_t), \
            ANSWER(_Zd##d##PvSt11align_val_t), ANSWER(_Zd##d##PvmSt11align_val_t), \
            ANSWER(_Zd##d##PvSt11align_val_tRKSt9nothrow_t) \
    }
static const struct family {
    unsigned behind; /* the family that the defaults of an array one call; of a single one itself */
    struct answer answers[5];
} families[] = {
    [BMM_KIND_NEW] = { BMM_KIND_NEW, PLAIN(w, l) },
    [BMM_KIND_NEW_ARRAY] = { BMM_KIND_NEW, PLAIN(a, a) },
    [BMM_KIND_NEW_ALIGNED] = { BMM_KIND_NEW_ALIGNED, ALIGNED(w, l) },
    [BMM_KIND_NEW_ARRAY_ALIGNED] = { BMM_KIND_NEW_ALIGNED, ALIGNED(a, a) },
};

/* A runtime that is part of the program looks like the program's own: then no kinds are told, which is safe. */
static bool is_of_runtime(any_function *function)
{
    Dl_info module;
    const void *address;
    memcpy(&address, &function, sizeof address);
    return dladdr(address, &module) != 0 && module.dli_fname != NULL &&
           (strstr(module.dli_fname, "libstdc++.so") != NULL || strstr(module.dli_fname, "libc++.so") != NULL);
}

static bool is_replaced(const struct answer *answer)
{
    any_function *own = answer->own;
    __asm__(""
            : "+r"(own)); /* two names may be one function; the compiler would take it for granted that they are not */
    if (own == NULL)
        return answer->found != NULL && !is_of_runtime(answer->found);
    return answer->found != own;
}

static bool is_whole(const struct family *family)
{
    for (unsigned i = 0; i < sizeof family->answers / sizeof family->answers[0]; i++)
        if (is_replaced(&family->answers[i]))
            return false;
    return &families[family->behind] == family || is_whole(&families[family->behind]);
}

uint32_t bmm__families_whole;

bool bmm__family_ask(unsigned family)
{
    static uint32_t families_asked; /* released after the answer, which is the same whoever asks */
    if ((bmm__load_acquire(&families_asked) >> family & 1) == 0) {
        if (is_whole(&families[family]))
            bmm__or_acq_rel(&bmm__families_whole, 1u << family);
        bmm__or_acq_rel(&families_asked, 1u << family);
    }
    return (bmm__load_relaxed(&bmm__families_whole) >> family & 1) != 0;
}
