#include "layer.h"

#include "debug/exit.h"
#include "debug/unchecked.h"

#include <string.h>

TestSuite(unchecked, .fini = layer_close);

/* The test program is not a library, so it cannot have been preloaded. */
Test(unchecked, nothing_is_noted_unless_the_library_was_preloaded)
{
    layer_open("mode=leak");
    bmm__viewer_start();
    bmm__unchecked_start();
    char *environment[] = { NULL };
    bmm__unchecked_look("/bin/sh", environment);
    cr_assert_str_eq(bmm__library_name(), "");
    cr_assert_eq(layer_chunk(BMM_CHUNK_UNCHECKED)->used, 0);
}
