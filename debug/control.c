/* The public functions of brainmm/debug.h. */
#include "brainmm/debug.h"

#include "check.h"
#include "error.h"
#include "options.h"

#include <errno.h>

size_t bmm_check_all(void)
{
    if (bmm__options.mode != BMM_MODE_CHECK)
        return 0;
    int saved_errno = errno;
    size_t damaged = bmm__check_all(BMM_MOMENT_DEMAND, NULL);
    errno = saved_errno;
    return damaged;
}

size_t bmm_error_count(void)
{
    return bmm__error_count();
}
