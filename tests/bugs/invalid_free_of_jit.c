// error: invalid-free detected=main@free
// error: invalid-free detected=main@code
#include "brainmm/brainmm.h"

#include <stdlib.h>

#pragma weak bmm_jit_create /* the debugger is preloaded */
#pragma weak bmm_jit_get
#pragma weak bmm_jit_code
#pragma weak bmm_jit_destroy

int main(void)
{
    struct bmm_jit_heap *heap = bmm_jit_create(BMM_JIT_DUAL_VIEWS);
    void *piece = bmm_jit_get(heap, 100), *code = bmm_jit_code(heap, piece);
    free(piece); /* @free */
    free(code);  /* @code */
    int status = bmm_jit_code(heap, piece) != code;
    bmm_jit_destroy(heap);
    return status;
}
