#include "debug/exit.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(viewer_path, named_by_the_environment)
{
    bmm__viewer_start();
    setenv("BRAINMM_VIEWER", "/bin/sh", 1);
    cr_assert_str_eq(bmm__viewer_path(), "/bin/sh");
}

Test(viewer_path, a_name_that_is_no_file_is_none)
{
    bmm__viewer_start();
    setenv("BRAINMM_VIEWER", "/nowhere/brainmm", 1);
    cr_assert_null(bmm__viewer_path());
    setenv("BRAINMM_VIEWER", "/", 1);
    cr_assert_null(bmm__viewer_path());
}
