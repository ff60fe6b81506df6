/* The whole API against a naive model (tests/model.h), and the core's own invariants every now and then. */
#include "tests/model.h"

#include "core/arena.h"
#include "core/heap_object.h"
#include "core/jit.h"
#include "core/valid.h"
#include "core/window.h"

#include <criterion/criterion.h>

#define OPERATIONS 60000u
#define EVERY 100u

static void check_invariants(const struct model *model)
{
    const char *wrong = bmm__heap_invalid(bmm__heap);
    if (wrong == NULL)
        wrong = bmm__run_map_invalid(&bmm__window_map);
    for (unsigned i = 0; i < MODEL_HEAPS && wrong == NULL; i++)
        wrong = bmm__heap_invalid(model->heaps[i]->heap);
    for (unsigned i = 0; i < 2 && wrong == NULL; i++)
        wrong = model->jits[i] == NULL ? NULL : bmm__jit_invalid(model->jits[i]);
    cr_assert(wrong == NULL, "after %lu operations: %s", model->operations, wrong);
}

Test(model, every_invariant_holds)
{
    struct model model;
    model_begin(&model, 77);
    while (model.operations < OPERATIONS && model.wrong == NULL) {
        model_run(&model, EVERY);
        check_invariants(&model);
    }
    model_end(&model);
    cr_assert(model.wrong == NULL, "model.h:%d: not true after %lu operations: %s", model.wrong_line, model.operations,
              model.wrong);
    cr_assert(bmm__heap_invalid(bmm__heap) == NULL);
}
