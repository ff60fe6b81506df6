/* Whoever answers to an operator's name is what the linker or the loader chose: ours, or another. */
#include "core/override_cxx.h"

#define OWN(name) extern __typeof__(name) bmm__own##name __attribute__((visibility("hidden")))
OWN(_Znwm);
OWN(_Znam);
OWN(_ZnwmSt11align_val_t);
OWN(_ZnamSt11align_val_t);
OWN(_ZdlPv);
OWN(_ZdlPvm);
OWN(_ZdlPvSt11align_val_t);
OWN(_ZdlPvmSt11align_val_t);
OWN(_ZdaPv);
OWN(_ZdaPvm);
OWN(_ZdaPvSt11align_val_t);
OWN(_ZdaPvmSt11align_val_t);

typedef void any_function(void);

/* Two names may be one function; the compiler would take it for granted that they are not. */
static bool is_other(any_function *chosen, any_function *own)
{
    __asm__("" : "+r"(own));
    return chosen != own;
}

#define IS_REPLACED(name) is_other((any_function *)(name), (any_function *)bmm__own##name)

void bmm__cxx_find_replaced(struct bmm__cxx_replaced *replaced)
{
    replaced->new_one = IS_REPLACED(_Znwm) ? _Znwm : NULL;
    replaced->new_aligned = IS_REPLACED(_ZnwmSt11align_val_t) ? _ZnwmSt11align_val_t : NULL;
    replaced->delete_one = IS_REPLACED(_ZdlPv) ? _ZdlPv : NULL;
    replaced->delete_array = IS_REPLACED(_ZdaPv) ? _ZdaPv : NULL;
    replaced->delete_aligned = IS_REPLACED(_ZdlPvSt11align_val_t) ? _ZdlPvSt11align_val_t : NULL;
    replaced->delete_array_aligned = IS_REPLACED(_ZdaPvSt11align_val_t) ? _ZdaPvSt11align_val_t : NULL;
    replaced->has_any =
        replaced->new_one != NULL || replaced->new_aligned != NULL || replaced->delete_one != NULL ||
        replaced->delete_array != NULL || replaced->delete_aligned != NULL || replaced->delete_array_aligned != NULL ||
        IS_REPLACED(_Znam) || IS_REPLACED(_ZnamSt11align_val_t) || IS_REPLACED(_ZdlPvm) ||
        IS_REPLACED(_ZdlPvmSt11align_val_t) || IS_REPLACED(_ZdaPvm) || IS_REPLACED(_ZdaPvmSt11align_val_t);
}
